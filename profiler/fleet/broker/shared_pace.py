"""Learns, for all workers together, a rate limit that nobody names, from refusals that no known limit explains.

One process learns such a limit from each of its calls (`engine/limits/learned_rate.py`). A broker hears of calls a second
late, and workers hear of a slower pace up to a second later still. So it goes by time rather than by answers, measures only
what all workers have told of, and goes over a limit so slowly that little has left too much by the time that all have
heard of the refusal. The caller passes the time.
"""

from __future__ import annotations

import math
from typing import Final

from profiler.engine.limits.learned_rate import CUT, LARGEST_CUT, SOON_S
from profiler.engine.limits.pace_trust import PaceTrust
from profiler.fleet.broker.calls_passed import CallsPassed

SETTLE_S: Final = 2.0  # after a refusal: by then all workers have heard of it, and have told what got through before it
FEW, FEW_S = 0.01, 5.0  # of the calls of the last seconds so many may be refused before the pace is cut
LEAST_MEASURED_S: Final = 1.0  # a rate is not measured over less: that would be a burst
RECENT_S: Final = 2.0
PLATEAU_CALLS, PLATEAU_S = 100, 5.0  # how long it takes to come back to the rate that was measured
SOONEST_S, SLOWEST_S = (
    1.5,
    5.0,
)  # the time in which the pace grows by GROWTH above that; shorter where it was measured in haste
GROWTH: Final = 0.01  # at first; in the square of the time, as nothing that happens says that the limit has risen
LEAST_PER_S: Final = 1.0  # of a first guess, when the first calls are refused already
STEEPEST: Final = 0.05  # a second
SEARCH_DOUBLING_S: Final = 6.0  # of a pace that was only guessed, from the first refusals
LATE_S: Final = 1.0  # of the last second not all workers have told yet
AHEAD: Final = 1.6  # of what leaves lately: a pace that nobody uses says nothing


class SharedPace:
    """No limit until refusals come one after the other.

    Whenever a call is refused, nothing is left of the provider's limit. So between two refusals as much got through as the
    limit allows in that time, which is measured as soon as all workers have told of it. The pace is a little below that, comes
    back to it in some seconds, and then grows beyond it, ever faster, until the next refusal.
    """

    def __init__(self) -> None:
        self.per_second: float | None = None
        self._passed = CallsPassed()
        self._trust = PaceTrust()
        self._base = 0.0  # the rate that was measured, or guessed
        self._at = -math.inf  # when the pace began to grow from it
        self._grows_in_s: float | None = None  # None while it was only guessed
        self._since_forgotten = 0.0  # calls that have left
        self._suspected_at = -math.inf
        self._refused_at = -math.inf  # the broker's time at the last cut
        self._empty_from: float | None = None  # the first refusal of the episode before, or of this one
        self._empty_until = -math.inf  # the last one
        self._first = -math.inf
        self._settles_at: float | None = None
        self._pace_refused = 0.0

    def left(self, count: float, *, since: float, now: float) -> None:
        """So many calls of one worker left since its message before."""
        self._since_forgotten += count
        self._passed.left(count, since=since, now=now)

    def pass_time(self, now: float) -> None:
        if self.per_second is None:
            return
        if self._settles_at is not None and now >= self._settles_at:
            self._measure(now)
        if self._settles_at is None:
            self.per_second = self._grown(now)

    def refused(self, *, left_at: float, knew: bool, now: float) -> bool:
        """A call was refused that left at `left_at`; `knew`: its worker had heard of the pace by then. Returns whether the
        pace is cut because of it."""
        self._passed.refused(left_at)
        self.pass_time(now)
        if self.per_second is not None:
            self._empty_until = max(self._empty_until, left_at)
        if left_at < self._refused_at or not knew or not self._teaches(now):
            return False
        if self.per_second is None:
            before, self._suspected_at = self._suspected_at, now
            if now - before > SOON_S:
                return False
            recent = self._passed.per_second(of_last_s=RECENT_S, now=now)
            self._base, self._grows_in_s = max(recent * LARGEST_CUT / CUT, LEAST_PER_S), None
            self._cut(self._base, left_at=left_at, now=now)
            return True
        answers = self._passed.between(self._refused_at, now)
        if answers < 1:  # if nothing gets through, that is no matter of pace, and the pause grows instead
            return False
        if self._trust.lost_by(rate=self.per_second, answers=int(answers), now=now):
            self._forget()
        else:
            self._cut(self._first_measure(now), left_at=left_at, now=now)
        return True

    def _teaches(self, now: float) -> bool:
        """Whether refusals have to do with the pace, as far as we know, and are not too few to matter."""
        if self._trust.suspended(now):
            if not self._trust.was_mistaken(left=int(self._since_forgotten), now=now):
                return False
            self._suspected_at = now
        return self._settles_at is not None or not self._few_are_refused(now)

    def _few_are_refused(self, now: float) -> bool:
        """Whether it is not worth going slower: a few refusals among very many calls are chance, or cost less than they tell."""
        passed = self._passed.between(now - FEW_S, now)
        return self._passed.refused_since(now - FEW_S) <= FEW * passed

    def _cut(self, rate: float, *, left_at: float, now: float) -> None:
        if self._settles_at is None:
            self._first = left_at
        self._pace_refused = self.per_second or math.inf
        self._empty_until = max(left_at, self._first)
        self.per_second = rate * CUT
        self._refused_at = now
        self._settles_at = now + SETTLE_S

    def _first_measure(self, now: float) -> float:
        """What to go by until all workers have told. Where refusals go on although all have heard of a slower pace, it is
        what got through since the first one, as far as that is told yet."""
        assert self.per_second is not None  # noqa: S101 (it was refused)
        since_s = now - self._first
        if self._settles_at is not None and since_s >= LEAST_MEASURED_S:
            return min(self.per_second, max(self._passed.between(self._first, now), 1.0) / since_s)
        return max(min(self.per_second, self._base), least_of(self.per_second))

    def _measure(self, now: float) -> None:
        """All workers have told what they did until the refusals ended."""
        since = self._first if self._empty_from is None else self._empty_from
        measured_s, self._settles_at, self._at = self._empty_until - since, None, now
        self._empty_from = self._first
        assert self.per_second is not None  # noqa: S101 (it settles after a cut)
        if measured_s < LEAST_MEASURED_S:
            self._base, self._grows_in_s = self.per_second, None
            return
        measured = self._passed.between(since, self._empty_until) / measured_s
        self._base = max(min(measured, self._pace_refused / CUT), least_of(self._pace_refused))
        guessed = self._grows_in_s is None  # then it was below the limit for long, and some of what came was not used
        self._grows_in_s = SOONEST_S if guessed else min(max(measured_s / 5, SOONEST_S), SLOWEST_S)

    def _grown(self, now: float) -> float:
        elapsed = now - self._at
        if self._grows_in_s is None:
            found = self._base * math.exp2(min(elapsed / SEARCH_DOUBLING_S, 64))
        else:
            plateau_s = max(PLATEAU_S, PLATEAU_CALLS / self._base)
            if elapsed < plateau_s:
                # A cubic: back soon, then ever more slowly, as TCP's congestion control CUBIC does it.
                return self._base * (1 - (1 - CUT) * (1 - elapsed / plateau_s) ** 3)
            found = self._base * math.exp(min(_growth(elapsed - plateau_s, in_s=self._grows_in_s), 40))
        return min(found, max(self._base, AHEAD * self._passed.per_second(of_last_s=RECENT_S, now=now - LATE_S)))

    def _forget(self) -> None:
        self.per_second = self._settles_at = self._empty_from = None
        self._suspected_at = self._refused_at = -math.inf
        self._since_forgotten = 0.0


def least_of(pace: float) -> float:
    """The least that a refused pace is lowered to, whatever was measured: much of it may have been unused."""
    return pace * LARGEST_CUT / CUT


def _growth(elapsed: float, *, in_s: float) -> float:
    """The logarithm of how much the pace has grown: quadratic in time at first, linear later."""
    even_from = STEEPEST * in_s**2 / (2 * GROWTH)
    if elapsed <= even_from:
        return GROWTH * (elapsed / in_s) ** 2
    return GROWTH * (even_from / in_s) ** 2 + STEEPEST * (elapsed - even_from)
