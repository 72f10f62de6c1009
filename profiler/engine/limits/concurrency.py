"""How many calls may run at once: additive growth while all slots are used, one cut for each push-back.

Comes in: how calls ended and when they began. Goes out: the limit of the slots. Awaits nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from profiler.engine.slots import Slots

FIRST_LIMIT = 8
CUT = 0.5
STEPS_TO_CEILING = 20
SLOW_STEP_S = 5.0  # after the provider said that the rate grew too fast, a tenth more every few seconds
SLOW_STEP = 10
KEPT_CHANGES = 100


class ConcurrencyChange(msgspec.Struct, frozen=True):
    """One cut of the limit, or its first arrival at the ceiling; seconds since the start."""

    at_s: float
    limit: int
    reason: str


class AdaptiveConcurrency:
    """Begins with a few calls and doubles, until the ceiling or the first push-back; then grows by steps."""

    def __init__(self, slots: Slots, *, first: int = FIRST_LIMIT) -> None:
        self._slots = slots
        self._ceiling = slots.limit
        slots.resize(min(first, slots.limit))
        self._began = time.monotonic()
        self._cut_at = 0.0
        self._doubling = True
        self._slowly = False
        self._grew_at = 0.0
        self._credit = 0.0
        self.changes: list[ConcurrencyChange] = [ConcurrencyChange(0.0, slots.limit, "start")]

    def succeeded(self) -> bool:
        """A call got its reply. Returns whether the limit grew; it only does while all of it is used."""
        slots = self._slots
        if slots.limit >= self._ceiling or slots.taken < slots.limit:
            return False
        if self._slowly:
            return self._grow_slowly()
        step = 1.0 if self._doubling else max(1.0, self._ceiling / STEPS_TO_CEILING) / slots.limit
        self._credit += step
        if self._credit < 1.0:
            return False
        slots.resize(min(self._ceiling, slots.limit + int(self._credit)))
        self._credit %= 1.0
        if slots.limit == self._ceiling:
            self._note("all slots in use")
        return True

    def _grow_slowly(self) -> bool:
        slots, now = self._slots, time.monotonic()
        if now - self._grew_at < SLOW_STEP_S:
            return False
        self._grew_at = now
        slots.resize(min(self._ceiling, slots.limit + max(1, slots.limit // SLOW_STEP)))
        return True

    def pushed_back(self, reason: str, *, called: float, slowly: bool = False) -> None:
        """The provider asked for less. Calls that left before the last cut were answered already by it.

        `slowly`: it was not the rate but its growth that was too much, so from here on it grows by the clock.
        """
        self._doubling = False
        self._slowly |= slowly
        if called < self._cut_at:
            return
        self._cut_at = self._grew_at = time.monotonic()
        self._credit = 0.0
        self._slots.resize(max(1, int(self._slots.limit * CUT)))
        self._note(reason)

    def _note(self, reason: str) -> None:
        if len(self.changes) < KEPT_CHANGES:
            self.changes.append(ConcurrencyChange(round(time.monotonic() - self._began, 3), self._slots.limit, reason))
