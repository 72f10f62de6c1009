"""Grades one entry of a corpus once, and says whether the verdict is the right one.

A trial never raises: whatever breaks becomes its problem, so that an audit reports all faults and not only the first.
"""

from __future__ import annotations

import pickle
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from grader.experiment_profiler.audit.corpus.entries import Corpus
from grader.experiment_profiler.audit.corpus.overlay import lay_out
from grader.experiment_profiler.grading.grade import TIMEOUT_S, grade, reference
from grader.experiment_profiler.judging.reasons import NOT_REACHED

if TYPE_CHECKING:
    from grader.experiment_profiler.audit.corpus.entries import Entry
    from grader.experiment_profiler.audit.loot import Loot
    from grader.experiment_profiler.judging.verdict import Result

SHOWN: Final = 3
ATTEMPT: Final = f"{__name__}:attempted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a worker needs for one trial."""

    entry: Entry
    seed: str
    loot: Loot
    isolation: str | None = None  # a level to try out instead of the strongest


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One grading of one entry. `problem` says why its verdict is not the one expected."""

    entry: Entry
    seed: str
    status: str
    reasons: tuple[str, ...] = ()  # causes before their effects
    reward: float = 0.0  # the partial one, of a stage
    problem: str | None = None  # why this is not what should have happened

    @property
    def reason(self) -> str | None:
        return self.reasons[0] if self.reasons else None


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of its trial; see `Trial`."""

    status: str
    reasons: tuple[str, ...]
    reward: float
    problem: str | None

    def of(self, job: Job) -> Trial:
        return Trial(entry=job.entry, seed=job.seed, **msgspec.structs.asdict(self))


def attempted(given: bytes) -> bytes:
    """In a worker: `given` is a pickled job, for none but the audit itself speaks to its workers."""
    return msgspec.json.encode(attempt(pickle.loads(given)))  # noqa: S301 (see above)


def attempt(job: Job) -> Said:
    """Lay the entry out, grade it, and judge the verdict."""
    try:
        result = _graded(job)
    except Exception as error:  # noqa: BLE001 (see above; a bug must not hide what else the audit would find)
        return Said(status="error", reasons=(), reward=0.0, problem=f"{type(error).__name__}: {error}")
    return Said(
        status=result.status.value,
        reasons=result.reasons,
        reward=result.reward,
        problem=_problem(job.entry, result),
    )


def _graded(job: Job) -> Result:
    with tempfile.TemporaryDirectory(prefix="audit-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch) / "submission"
        lay_out(job.entry, folder, reference=reference(), words=job.loot.words())
        return grade(
            folder,
            seed=job.seed,
            worlds=job.entry.worlds,
            fail_fast=job.entry.corpus in {Corpus.CHEATS, Corpus.MUTANTS},
            partial=job.entry.corpus is Corpus.STAGES,
            timeout=job.entry.timeout or TIMEOUT_S,
            isolation=job.isolation,
            at_once=1,  # the audit runs other gradings beside this one
        )


def _problem(entry: Entry, result: Result) -> str | None:
    status = result.status.value
    if status == "error":
        return f"the grader broke: {result.error}"
    match entry.corpus:
        case Corpus.HONEST:
            return None if status == "pass" else f"failed for {_named(result)}"
        case Corpus.CHEATS:
            return _unpunished(entry, result)
        case Corpus.MUTANTS:
            return None if status == "fail" else "survived"
        case Corpus.STAGES:
            return None  # what a stage earns is compared with the one before


def _unpunished(entry: Entry, result: Result) -> str | None:
    """The problem of a cheat that passed, or that failed for a reason it does not name."""
    if result.status.value == "pass":
        return "passed"
    if result.reason in entry.reasons:
        return None
    return f"failed for {_named(result)}, not for {' or '.join(entry.reasons)}"


def _named(result: Result) -> str:
    """The checks that failed, with details; not those that could not be made because of that."""
    failed = [check for check in result.checks if not check.passed and check.reason != NOT_REACHED]
    return "; ".join(f"{check.reason} ({check.detail})" for check in failed[:SHOWN])
