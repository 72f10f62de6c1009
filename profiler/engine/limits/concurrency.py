"""How many calls may run at once: more while all slots are used, fewer when the provider is overloaded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_LIMIT = 8
CUT = 0.5
STEPS_TO_CEILING = 20  # each step takes a second, or less when calls are quick
STEP_S = 1.0
SLOW_STEP_S = 5.0  # after the provider said that the rate grew too fast: a tenth more every 5 s
SLOW_STEP = 10
OVERLOADED_ABOVE = 0.15  # share of the calls; below it those that were refused are simply sent again
WEIGHT = 0.02  # of one call in that share: about the last fifty calls decide
KEPT_CHANGES = 100


def _now() -> float:
    return time.monotonic()


class ConcurrencyChange(msgspec.Struct, frozen=True):
    """One cut of the limit, or its first arrival at the ceiling; seconds since the start."""

    at_s: float
    limit: int
    reason: str


class Limited(Protocol):
    """What has a limit that grows and shrinks: the slots of a process, or those that several share."""

    limit: int

    @property
    def taken(self) -> int: ...

    def resize(self, limit: int) -> None: ...


class OverloadShare:
    """The share of the latest calls that were refused because the provider is overloaded.

    One such refusal among many answers is chance: slowing down because of it costs far more than sending that call
    again.
    """

    def __init__(self, *, clock: Callable[[], float] = _now) -> None:
        self.share = 0.0
        self._since = 0.0
        self._clock = clock

    def count(self, *, overloaded: bool, left_at: float) -> bool:
        """Count a call that ended, and say whether an episode of overload begins with it.

        Calls that left before the last episode began say nothing new.
        """
        if left_at < self._since:
            return False
        self.share += WEIGHT * (overloaded - self.share)
        if not overloaded or self.share < OVERLOADED_ABOVE:
            return False
        self.share, self._since = 0.0, self._clock()
        return True


class AdaptiveConcurrency:
    """Begins with a few calls and doubles, until the ceiling or the first cut; then grows by steps."""

    def __init__(self, slots: Limited, *, first: int = FIRST_LIMIT, clock: Callable[[], float] = _now) -> None:
        self._slots = slots
        self._clock = clock
        self._ceiling = slots.limit
        slots.resize(min(first, slots.limit))
        self._began = self._clock()
        self._cut_at = 0.0
        self._doubling = True
        self._slowly = False
        self._grew_at = 0.0
        self._credit = 0.0
        self.changes: list[ConcurrencyChange] = [ConcurrencyChange(0.0, slots.limit, "start")]

    def succeeded(self) -> bool:
        """A call got its reply. Returns whether the limit grew, which it does only while all of it is used."""
        slots = self._slots
        if slots.limit >= self._ceiling or slots.taken < slots.limit:
            return False
        step = self._slow_step() if self._slowly else self._step()
        if step < 1:
            return False
        slots.resize(min(self._ceiling, slots.limit + step))
        if slots.limit == self._ceiling:
            self._note("all slots in use")
        return True

    def _step(self) -> int:
        """By how much the limit grows.

        At first it doubles with each round of replies. After a cut it gains a twentieth of the ceiling each round or
        each second, whichever comes sooner: rounds of long calls would take minutes to come back.
        """
        slots, now = self._slots, self._clock()
        if self._doubling:
            self._credit += 1.0
        else:
            step = max(1.0, self._ceiling / STEPS_TO_CEILING)
            self._credit += max(step / slots.limit, step * min(1.0, (now - self._grew_at) / STEP_S))
            self._grew_at = now
        whole = int(self._credit)
        self._credit -= whole
        return whole

    def _slow_step(self) -> int:
        now = self._clock()
        if now - self._grew_at < SLOW_STEP_S:
            return 0
        self._grew_at = now
        return max(1, self._slots.limit // SLOW_STEP)

    def cut(self, reason: str, *, left_at: float, slowly: bool = False) -> None:
        """Halve the limit, because the provider asked for less.

        Calls that left before the last cut are covered by it. `slowly` says that the growth of the rate was too much,
        not the rate itself; from then on the limit grows by the clock.
        """
        self._doubling = False
        self._slowly |= slowly
        if left_at < self._cut_at:
            return
        self._cut_at = self._grew_at = self._clock()
        self._credit = 0.0
        self._slots.resize(max(1, int(self._slots.limit * CUT)))
        self._note(reason)

    def _note(self, reason: str) -> None:
        if len(self.changes) < KEPT_CHANGES:
            self.changes.append(ConcurrencyChange(round(self._clock() - self._began, 3), self._slots.limit, reason))
