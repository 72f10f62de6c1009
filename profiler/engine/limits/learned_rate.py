"""Learns a rate limit that nobody names from the refusals that no known limit explains.

A provider may enforce a limit without announcing it, or several processes may share one key. The only way to find such
a limit is to go a little over it now and then, and the art is to do that rarely. The caller passes the time.
"""

from __future__ import annotations

import math

from profiler.engine.limits.pace_trust import PaceTrust

CUT = 0.85  # of the rate at which calls got through
LARGEST_CUT = 0.5  # the rate falls to no less than this share of itself at once
SHORTEST_S = 1.0  # a rate is not measured over less: that would be a burst
SOON_S = 10.0  # a refusal that no other follows within this time teaches nothing
PLATEAU_CALLS, PLATEAU_S = 100, 5.0  # how long it takes to come back to the rate that was refused
DOUBLING_CALLS, DOUBLING_S = 30, 2.0  # how long the rate takes to double, above the rate that was refused


class LearnedRate:
    """No limit until refusals come one after the other; then calls leave evenly, at the rate that gets through.

    After a refusal the rate is set a little below what got through since the refusal before: while the provider's limit
    is used up, that is exactly what it allows us. From there it climbs back, quickly at first and then ever more
    slowly, to the rate that was refused, so that most of the time is spent just below it. If nothing happens there, the
    limit must have risen, and the rate doubles again and again until the next refusal. The first refusals say little
    (it may have been a burst), so there is no plateau after them.

    Where refusals have nothing to do with the pace the rate is forgotten, and for a while nothing is learned.
    """

    def __init__(self) -> None:
        self.per_second: float | None = None
        self._base = 0.0  # the rate that was refused, as far as it is known
        self._left = 0
        self._answered = 0  # since the last refusal
        self._plateau = 0.0  # so many answers long
        self._measured_from: float | None = None  # the first call, later the last refusal
        self._suspected_at = -math.inf
        self._trust = PaceTrust()
        self._refused_at = -math.inf
        self._next_at = -math.inf

    def wait_s(self, now: float) -> float:
        """Seconds until the next call may leave."""
        return max(0.0, self._next_at - now)

    def leaving(self, now: float) -> None:
        """A call leaves. Unused time does not add up to a burst later."""
        self._left += 1
        if self._measured_from is None:
            self._measured_from = now
        if self.per_second is not None:
            self._next_at = max(self._next_at, now) + 1 / self.per_second

    def answered(self) -> None:
        self._answered += 1
        if self.per_second is not None:
            self.per_second = self._grown()

    def refused(self, *, left_at: float, now: float) -> bool:
        """A call that left at `left_at` was refused. Returns whether a new episode of refusals begins with it."""
        if left_at < self._refused_at:
            return False
        if self._trust.suspended(now):
            if not self._trust.was_mistaken(left=self._left, now=now):
                return False
            self._suspected_at = now
            self._left -= self._trust.refusals - 1  # those that got through, and this one
        elapsed = max(now - (self._measured_from or now), 1e-3)
        doubted = False
        if self.per_second is None:
            before, self._suspected_at = self._suspected_at, now
            if now - before > SOON_S:
                return False
            self._base = max(1, self._left - 1) / max(elapsed, SHORTEST_S)
        elif self._answered:  # if nothing gets through, that is no matter of pace, and the pause grows instead
            least = self.per_second * LARGEST_CUT / CUT
            self._base = max(min(self.per_second, self._answered / elapsed), least)
            self._plateau = max(PLATEAU_CALLS, PLATEAU_S * self._base)
            doubted = self._trust.lost_by(rate=self.per_second, answers=self._answered, now=now)
        self.per_second = self._base * CUT
        self._next_at = now + 1 / self.per_second
        self._refused_at = self._measured_from = now
        self._left = self._answered = 0
        if doubted:
            self.per_second, self._plateau = None, 0.0
            self._suspected_at = self._next_at = -math.inf
        return True

    def _grown(self) -> float:
        if self._answered < self._plateau:
            # A cubic: back near the refused rate soon, then ever more slowly, as TCP's congestion control CUBIC does
            # it.
            missing = 1 - self._answered / self._plateau
            return self._base * (1 - (1 - CUT) * missing**3)
        start = self._base if self._plateau else self._base * CUT
        doublings = (self._answered - self._plateau) / max(DOUBLING_CALLS, DOUBLING_S * self._base)
        return start * math.exp2(min(doublings, 64))
