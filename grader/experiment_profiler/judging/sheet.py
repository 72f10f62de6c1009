"""Collects the findings of one box.

There is one finding for each planned check; a check that was never made is `not_reached`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grader.experiment_profiler.judging.reasons import NOT_REACHED, REASONS
from grader.experiment_profiler.judging.verdict import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Sheet:
    """The checks that are planned in one place, and what came of them."""

    def __init__(self, where: str, plan: Sequence[str]) -> None:
        self.where = where
        self._plan = tuple(plan)
        self._made: set[str] = set()
        self._failed: dict[str, str] = {}

    def fail(self, reason: str, said: str = "") -> None:
        """Note a failure. Of several with one reason, the first sentence stays."""
        check = REASONS[reason].check
        if check not in self._plan:
            raise ValueError(f"{self.where}: {reason!r} belongs to the check {check!r}, which is not planned here")
        self._made.add(check)
        self._failed.setdefault(reason, said)

    def made(self, *checks: str) -> None:
        """Note that checks were made. They held, unless a failure is noted."""
        self._made.update(checks)

    def findings(self) -> Iterator[Finding]:
        for check in self._plan:
            if any(REASONS[code].check == check for code in self._failed):
                yield from self._failures(check)
            elif check in self._made:
                yield Finding(check=check, where=self.where)
            else:
                yield Finding(check=check, where=self.where, reason=NOT_REACHED)

    def _failures(self, check: str) -> Iterator[Finding]:
        for code, said in self._failed.items():
            if REASONS[code].check == check:
                yield Finding(check=check, where=self.where, reason=code, said=said)
