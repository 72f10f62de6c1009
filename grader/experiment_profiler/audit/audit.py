"""Tests the grader: grades cheats, honest submissions and broken references, and reports every verdict that is wrong.

The report also has the escape probes of the sandbox at the isolation level that was used.
"""

from __future__ import annotations

import pickle
import secrets
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import msgspec

from grader.experiment_profiler.audit.corpus.entries import Corpus
from grader.experiment_profiler.audit.loot import laid_out
from grader.experiment_profiler.audit.trial import ATTEMPT, Job, Said, Trial
from grader.workers.calls import call_all, on_this_machine
from grader.workers.crew import Broken, InOrder
from task_kit.sandbox import Level, detect, examine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from grader.experiment_profiler.audit.corpus.entries import Entry
    from grader.experiment_profiler.audit.loot import Loot
    from task_kit.sandbox import Probe

CAUGHT_ENOUGH: Final = 0.95  # of the mutants, those included that are argued to be harmless


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The trials of an audit, and what they say about the grader."""

    level: str
    seed: str
    rounds: int
    trials: tuple[Trial, ...]
    probes: tuple[Probe, ...]  # every escape probe, also those that the level does not claim to stop
    left_out: tuple[str, ...]  # entries that the level claims neither to stop nor to allow

    def of(self, corpus: Corpus) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.entry.corpus is corpus)

    def survivors(self) -> dict[str, str | None]:
        """Mutants that were not caught in every round, with the reason why each is harmless, if its entry gives one."""
        return {trial.entry.name: trial.entry.survives for trial in self.of(Corpus.MUTANTS) if trial.problem}

    def score(self) -> float | None:
        """The share of mutants that were caught in every round."""
        mutants = {trial.entry.name for trial in self.of(Corpus.MUTANTS)}
        return 1 - len(self.survivors()) / len(mutants) if mutants else None

    def falls(self) -> list[str]:
        """Problems of the stages: one that earns less than the one before, a first that earns anything, a last short of
        1."""
        stages = self.of(Corpus.STAGES)
        found = []
        for turn in range(self.rounds if len(stages) > 1 else 0):
            path = stages[turn * len(stages) // self.rounds : (turn + 1) * len(stages) // self.rounds]
            rewards = [trial.reward for trial in path]
            if rewards != sorted(rewards) or rewards[0] != 0 or rewards[-1] != 1:
                found.append(f"stages of round {turn + 1} earn {rewards}, expected a rise from 0 to 1")
        return found

    def problems(self) -> tuple[str, ...]:
        """Everything that is wrong, a sentence each. An audit is good when there is nothing."""
        found = [
            f"{trial.entry.corpus}/{trial.entry.name} (seed {trial.seed}): {trial.problem}"
            for trial in self.trials
            if trial.problem and not _argued(trial)
        ]
        found += self.falls()
        score = self.score()
        if score is not None and score < CAUGHT_ENOUGH:
            found.append(f"only {score:.1%} of the mutants are caught, expected at least {CAUGHT_ENOUGH:.0%}")
        found += [
            f"{self.level}: the probe {probe.name!r} got out: {probe.said}"
            for probe in self.probes
            if probe.claimed and not probe.stopped
        ]
        return tuple(found)


def _argued(trial: Trial) -> bool:
    """Whether this is a mutant that survived for a reason which its entry gives."""
    return trial.entry.corpus is Corpus.MUTANTS and trial.status == "pass" and trial.entry.survives is not None


def chosen(entries: Iterable[Entry], patterns: Sequence[str]) -> tuple[Entry, ...]:
    """The entries whose corpus/file/name matches one of the patterns; without patterns all."""
    return tuple(
        entry
        for entry in entries
        if not patterns or any(fnmatchcase(f"{entry.corpus}/{entry.name}", pattern) for pattern in patterns)
    )


def audit(
    entries: Sequence[Entry],
    *,
    seed: str | None = None,
    rounds: int = 1,
    jobs: int = 1,
    isolation: str | None = None,
    told: Callable[[Trial], None] = lambda trial: None,
) -> Report:
    """Grade every entry in every round, each time with another seed.

    `told` is called with each trial, in order. `isolation` tries a level out instead of the strongest.
    """
    seed = seed or secrets.token_hex(8)
    level = detect(None if isolation is None else Level.parse(isolation)).level
    claimed = [
        entry for entry in entries if Level.parse(entry.stopped_from) <= level and level.label not in entry.barred_at
    ]
    with laid_out() as loot:
        owed = _jobs(claimed, loot=loot, seed=seed, rounds=rounds, level=level)
        trials = attempts(owed, workers=jobs, told=told)
    return Report(
        level=level.label,
        seed=seed,
        rounds=rounds,
        trials=tuple(trials),
        probes=examine(level),
        left_out=tuple(f"{e.corpus}/{e.name}" for e in entries if e not in claimed),
    )


def _jobs(entries: Sequence[Entry], *, loot: Loot, seed: str, rounds: int, level: Level) -> list[Job]:
    """The jobs, all at the level found here: a worker that found a weaker one would run cheats that only this one
    stops."""
    return [
        Job(entry=entry, seed=f"{seed}/{turn}/{entry.name}", loot=loot, isolation=level.label)
        for turn in range(rounds)
        for entry in entries
    ]


def attempts(
    owed: Sequence[Job], *, workers: int, told: Callable[[Trial], None] = lambda trial: None, function: str = ATTEMPT
) -> list[Trial]:
    """The trials in the order of `owed`. Each worker is a fresh process whose environment holds the audit's loot."""
    trials = []

    def note(number: int, found: bytes | Broken) -> None:
        trials.append(_trial(owed[number], found))
        told(trials[-1])

    if owed:
        given = (pickle.dumps(job) for job in owed)
        call_all(function, given, heard=InOrder(note), hire=on_this_machine, size=min(workers, len(owed)))
    return trials


def _trial(job: Job, found: bytes | Broken) -> Trial:
    if isinstance(found, Broken):
        return Trial(entry=job.entry, seed=job.seed, status="error", problem=f"it killed the grader: {found}")
    return msgspec.json.decode(found, type=Said).of(job)
