"""Runs over the same dialogues, compared: what `profiler compare` shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from profiler.core.wording import kept_in_words
from profiler.provider.source import OWN_CLIENT
from profiler.results.comparing.comparison import Comparison, Measured, judged, measure
from profiler.results.comparing.findings import Against, Findings, Question, Side
from profiler.results.comparing.gate import Gate, gates
from profiler.results.comparing.measured_run import MeasuredRun
from profiler.results.comparing.metrics_compared import (
    DIRECTIONS,
    directions,
    has_meaning,
    metrics_of_both,
    not_in_all,
    refuse_unknown,
)
from profiler.results.comparing.pairing import Pairing, paired
from profiler.results.comparing.slices import Cut, Slice, cut, places_by_tag, reversed_everywhere, slices
from profiler.results.comparing.which_run import Cheapest, Dominated, cheapest_not_worse, dominated
from profiler.storage.reading.frozen_run import frozen

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping, Sequence

    from profiler.metrics.metric import Better
    from profiler.storage.reading.saved_run import SavedRun

SLICES_KEPT: Final = 1_000


def compare(base: SavedRun, news: Sequence[SavedRun], question: Question) -> Findings:
    """Compare each of `news` with `base`, on the dialogues that both have."""
    base, news = frozen(base), [frozen(new) for new in news]
    first = MeasuredRun(base).read(cluster_by=question.cluster_by, search_path=question.search_path)
    runs = [first, *(MeasuredRun(new, base=first).read(search_path=question.search_path) for new in news)]
    pairings = [paired(first, run, allow_different_prompts=question.allow_different_prompts) for run in runs[1:]]
    facts = [run.run.summary["run"] for run in runs]
    sides = [_side(run, each, name) for run, each, name in zip(runs, facts, names_of([base, *news]), strict=True)]
    better, not_compared = directions(facts, search_path=question.search_path, told=question.better)
    asked = [metrics_of_both(first, run, better) for run in runs[1:]]
    refuse_unknown(question, {name for names in asked for name in names}, better)
    clusters = first.clusters if question.cluster_by is not None else None
    by_tag = places_by_tag(first)
    family = sum(map(len, asked))
    cuts = [
        [
            _cut(measure(first, run, name, better=better.get(name), clusters=clusters, family=family), clusters, by_tag)
            for name in names
        ]
        for run, names in zip(runs[1:], asked, strict=True)
    ]
    flat = [(side.name, each) for side, found in zip(sides[1:], cuts, strict=True) for each, _ in found]
    verdicts = iter(judged([each for _, each in flat], margins=question.margins))
    against = []
    for side, pairing, found in zip(sides[1:], pairings, cuts, strict=True):
        comparisons = [next(verdicts) for _ in found]
        parts = slices(found)
        against.append(
            Against(
                new=side,
                pairing=pairing,
                comparisons=comparisons,
                slices=parts[:SLICES_KEPT],
                warnings=_warnings(sides[0], side, pairing, comparisons, parts),
            )
        )
    names = [side.name for side in sides]
    found_gates = gates(flat, margins=question.fail_if_worse)
    return Findings(
        base=sides[0],
        against=against,
        family=sum(each.p is not None for one in against for each in one.comparisons),
        cluster_by=question.cluster_by,
        not_compared=[*not_compared, *not_in_all(runs)],
        cheapest=_cheapest(runs, names, better, question),
        dominated=_dominated(runs, names, better, question),
        gates=found_gates,
        state=_state(found_gates),
    )


def _cut(
    measured: Measured, clusters: Sequence[int] | None, by_tag: Mapping[str, array[int]]
) -> tuple[Measured, list[Cut]]:
    return measured.without_differences(), cut(measured, by_tag=by_tag, clusters=clusters)


def names_of(runs: Sequence[SavedRun]) -> list[str]:
    """The folders' names, or their paths where those are the same."""
    short = [run.folder.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run.folder) for run in runs]


def _side(run: MeasuredRun, facts: Mapping[str, Any], name: str) -> Side:
    identity = facts.get("identity") or {}
    client = str(facts.get("client"))
    return Side(
        name=name,
        folder=str(run.run.folder),
        mode=client if client.startswith(OWN_CLIENT) else str(facts.get("mode", "unknown")),
        model=identity.get("model"),
        complete=run.run.complete,
        kept=None if run.run.complete else kept_in_words(facts),
        dialogues=len(run.answers) - run.answers.count(0),
    )


def _warnings(
    base: Side, new: Side, pairing: Pairing, comparisons: Sequence[Comparison], parts: Sequence[Slice]
) -> list[str]:
    lines = [f"{side.name} is UNFINISHED: {side.kept}, and compared on these" for side in (base, new) if side.kept]
    if Path(base.folder).resolve() == Path(new.folder).resolve():
        lines.append(f"{base.name} and {new.name} are the same run")
    if base.mode != new.mode:
        lines.append(f"{base.name} was answered by {base.mode}, {new.name} by {new.mode}")
    if pairing.different_questions:
        lines.append(f"{pairing.different_questions:,} pairs were asked different questions, as you allowed")
    if pairing.differently_judged:
        lines.append(f"{pairing.differently_judged:,} pairs are judged by other facts or another expected answer")
    lines += [
        f"{part.metric}: the whole and the tag {part.tag!r} point in opposite directions"
        for part in parts
        if part.opposite
    ]
    lines += [
        f"{metric}: every tag points the other way than the whole; the mixture of tags makes the difference"
        for metric in reversed_everywhere(comparisons, parts)
    ]
    return lines


def _quality(runs: Sequence[MeasuredRun], better: Mapping[str, Better]) -> str | None:
    """The first score that has a better side, in the order of the manifest."""
    names = [name for name in runs[0].measures if name not in DIRECTIONS and name in better]
    return next((name for name in names if all(name in run.measures and has_meaning(run, name) for run in runs)), None)


def _cheapest(
    runs: Sequence[MeasuredRun], names: Sequence[str], better: Mapping[str, Better], question: Question
) -> list[Cheapest]:
    if len(runs) < 3:
        return []
    found = [
        cheapest_not_worse(runs, names, metric, better=better[metric], margin=margin)
        for metric, margin in question.margins.items()
        if metric in better and metric != "cost_usd" and all(metric in run.measures for run in runs)
    ]
    return [each for each in found if each is not None]


def _dominated(
    runs: Sequence[MeasuredRun], names: Sequence[str], better: Mapping[str, Better], question: Question
) -> list[Dominated]:
    quality = next((name for name in question.margins if name in better and name not in DIRECTIONS), None)
    quality = quality or _quality(runs, better)
    return dominated(runs, names, quality, better=better[quality]) if quality and len(runs) > 2 else []


def _state(found: Sequence[Gate]) -> Literal["ok", "worse", "undecided"]:
    states = {gate.state for gate in found}
    return "worse" if "worse" in states else "undecided" if "undecided" in states else "ok"
