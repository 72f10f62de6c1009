"""Prints an audit: a matrix for each corpus, the escape probes, and everything that is wrong.

A row of a matrix stands for one kind of entry, and says how many of them went as they should.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from grader.experiment_profiler.audit.corpus.entries import Corpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grader.experiment_profiler.audit.audit import Report
    from grader.experiment_profiler.audit.trial import Trial

TITLES: Final = {
    Corpus.CHEATS: "Cheats, which must fail for the reason they name",
    Corpus.HONEST: "Honest submissions, which must pass",
    Corpus.MUTANTS: "Broken references, which must be caught",
    Corpus.STAGES: "Stages from the starter to the reference, whose partial rewards must rise",
}
UNICODE: Final = {True: "✔", False: "✘"}
ASCII: Final = {True: "ok ", False: "BAD"}


def lines(report: Report, *, verbose: bool, marks: dict[bool, str]) -> Iterator[str]:
    for corpus in Corpus:
        if trials := report.of(corpus):
            yield from _matrix(corpus, trials, verbose=verbose, marks=marks)
    yield from _mutation_score(report)
    yield f"Escape probes at level {report.level}"
    for probe in report.probes:
        said = probe.said if probe.stopped or probe.claimed else f"not claimed to be stopped here: {probe.said}"
        yield f"  {marks[probe.stopped or not probe.claimed]} {probe.name:<20} {said}"
    if report.left_out:
        yield f"Not tried, because level {report.level} claims neither to stop nor to allow them: {', '.join(report.left_out)}"
    yield ""
    problems = report.problems()
    yield from (f"  {marks[False]} {problem}" for problem in problems)
    turns = "1 round" if report.rounds == 1 else f"{report.rounds} rounds"
    yield f"{len(report.trials)} gradings in {turns} from seed {report.seed}: {_count(len(problems), 'problem')}"


def _matrix(corpus: Corpus, trials: tuple[Trial, ...], *, verbose: bool, marks: dict[bool, str]) -> Iterator[str]:
    yield TITLES[corpus]
    rows: dict[str, list[Trial]] = {}
    for trial in trials:
        rows.setdefault(trial.entry.name if verbose else trial.entry.kind, []).append(trial)
    width = min(70, max(map(len, rows)))
    for name, row in rows.items():
        good = sum(trial.problem is None for trial in row)
        yield f"  {marks[good == len(row)]} {name:<{width}} {good:>4}/{len(row):<4} {_verdicts(row)}"
    good = sum(trial.problem is None for trial in trials)
    yield f"    {'':<{width}} {good:>4}/{len(trials)}"
    yield ""


def _verdicts(trials: list[Trial]) -> str:
    """The verdicts of some trials, the most frequent first; of stages their rewards."""
    counted = Counter(trial.reason or trial.status for trial in trials)
    if trials[0].entry.corpus is Corpus.STAGES:
        return " · ".join(f"{trial.reward:.2f}" for trial in trials)
    return " · ".join(f"{name} {count}" for name, count in counted.most_common())


def _mutation_score(report: Report) -> Iterator[str]:
    score = report.score()
    if score is None:
        return
    yield f"Mutation score {score:.1%}"
    for name, argument in report.survivors().items():
        yield f"  {name} survives: {argument or 'nobody argued why'}"
    yield ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number or 'no'} {noun}s"
