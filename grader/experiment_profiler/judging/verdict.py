"""The verdict of a grading, and its form as JSON.

A `Result` is an error until something better is known. For the same seed its JSON is the same to the byte, except for
`timings`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from grader.experiment_profiler.judging.reasons import CHECKS, NOT_REACHED, REASONS, first

SCHEMA_VERSION: Final = 1
DETAIL_LIMIT: Final = 400


class Status(StrEnum):
    PASS = "pass"  # noqa: S105 (a verdict, no password)
    FAIL = "fail"
    ERROR = "error"

    @property
    def exit_code(self) -> int:
        return (Status.PASS, Status.FAIL, Status.ERROR).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check of one process. It held if `reason` is None."""

    check: str
    where: str
    reason: str | None = None
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check over all processes in which it was made, or should have been."""

    name: str
    passed: bool
    reason: str | None = None
    detail: str | None = None
    # number of processes in which it was made; those in which it failed; those in which it could not be made
    made: int = 0
    failed: int = 0
    not_reached: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A verdict with everything that led to it.

    `reward` counts only when `reward_valid`: an error says nothing about the submission. Everything outside `timings`
    is decided by the submission, the seed and the versions.
    """

    status: Status = Status.ERROR
    task: str
    reward: float = 0.0
    reward_valid: bool = False
    reason: str | None = "unfinished"
    reasons: tuple[str, ...] = ()
    error: str | None = "the grading did not come to its end"
    checks: tuple[Check, ...] = ()
    metrics: dict[str, Any] = field(default_factory=dict)
    submission: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    isolation: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    timings: dict[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        return self.status.exit_code

    def as_dict(self, *, timings: bool = True) -> dict[str, Any]:
        """Plain values for JSON. `timings` is the only key that varies between gradings of the same seed."""
        values = asdict(self)
        values["status"] = self.status.value
        values["schema_version"] = SCHEMA_VERSION
        values["checks"] = [asdict(check) for check in self.checks]
        values["reasons"] = list(self.reasons)
        if not timings:
            del values["timings"]
        return values


def checks_of(findings: list[Finding]) -> tuple[Check, ...]:
    """One `Check` for each name that findings have, in a fixed order."""
    by_name: dict[str, list[Finding]] = {name: [] for name in CHECKS}
    for finding in findings:
        by_name[finding.check].append(finding)
    return tuple(_check(name, found) for name, found in by_name.items() if found)


def _check(name: str, findings: list[Finding]) -> Check:
    failed = [finding for finding in findings if finding.reason is not None]
    missed = [finding for finding in failed if finding.reason == NOT_REACHED]
    reason = first({finding.reason for finding in failed if finding.reason is not None})
    return Check(
        name=name,
        passed=not failed,
        reason=reason,
        detail=_detail(next((finding for finding in failed if finding.reason == reason), None)),
        made=_processes(findings) - _processes(missed),
        failed=_processes(failed) - _processes(missed),
        not_reached=_processes(missed),
    )


def _processes(findings: list[Finding]) -> int:
    return len({finding.where for finding in findings})


def _detail(finding: Finding | None) -> str | None:
    if finding is None:
        return None
    return f"{finding.where}: {finding.said or REASONS[finding.reason or NOT_REACHED].sentence}"[:DETAIL_LIMIT]


def reasons_of(findings: list[Finding]) -> tuple[str, ...]:
    """All codes that were found, causes before effects."""
    found = {finding.reason for finding in findings}
    return tuple(code for code in REASONS if code in found and code != NOT_REACHED)
