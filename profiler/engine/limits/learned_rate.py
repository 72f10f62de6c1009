"""Learns a rate limit that nobody names from the refusals that no known limit explains.

A provider may enforce a limit without announcing it, or several processes may share one key. The only way to find such
a limit is to go a little over it now and then, and the art is to do that rarely. The caller passes the time.
"""

from __future__ import annotations

import math
from collections import deque

CUT = 0.85  # of the rate at which calls got through
LARGEST_CUT = 0.5  # the rate falls to no less than this share of itself at once
SHORTEST_S = 1.0  # a rate is not measured over less: that would be a burst
SOON_S = 10.0  # a refusal that no other follows within this time teaches nothing
PLATEAU_CALLS, PLATEAU_S = 100, 5.0  # how long it takes to come back to the rate that was refused
DOUBLING_CALLS, DOUBLING_S = 30, 2.0  # how long the rate takes to double, above the rate that was refused
SHORT_EPISODE = 10  # answers between two refusals; an episode with fewer is one in vain
IN_VAIN = 7  # such episodes one after the other: by then a rate is less than a hundredth of what it was
COMPARED = 10  # episodes that are looked at together: have they grown longer as the rate fell?
SLOWER, LONGER = 4.0, 2.0  # a pace this many times slower should leave this many times more answers between refusals
MOSTLY_ANSWERED = 3  # answers an episode: with fewer the rate is still far above the limit, and must fall
DISTRUST_S = 30.0  # at first; twice as long each time that slowing down was in vain
REFUSALS, REFUSED_SHARE = 6, 0.3  # of the calls that left since a rate was forgotten: then pace did matter after all


class LearnedRate:
    """No limit until refusals come one after the other; then calls leave evenly, at the rate that gets through.

    After a refusal the rate is set a little below what got through since the refusal before: while the provider's limit
    is used up, that is exactly what it allows us. From there it climbs back, quickly at first and then ever more
    slowly, to the rate that was refused, so that most of the time is spent just below it. If nothing happens there, the
    limit must have risen, and the rate doubles again and again until the next refusal. The first refusals say little
    (it may have been a burst), so there is no plateau after them.

    Where refusals have nothing to do with the pace, going slower does not help. When refusals go on however slow it
    gets, or come after just as many answers at a quarter of the pace, the rate is forgotten, and for a while nothing is
    learned. The second sign is a weak one where others share the limit; if three of ten calls are refused as soon as
    nothing holds them back, it was wrong, and the rate is learned again at once.
    """

    def __init__(self, *, doubling_s: float = DOUBLING_S) -> None:
        """`doubling_s` is how long the rate takes to double above one that was refused: the longer, the later refusals are
        heard of."""
        self._doubling_s = doubling_s
        self.per_second: float | None = None
        self._base = 0.0  # the rate that was refused, as far as it is known
        self._left = 0
        self._answered = 0  # since the last refusal
        self._plateau = 0.0  # so many answers long
        self._measured_from: float | None = None  # the first call, later the last refusal
        self._suspected_at = -math.inf
        self._in_vain = 0
        self._episodes: deque[tuple[float, int]] = deque(
            maxlen=COMPARED
        )  # the rate that was refused, answers before it
        self._distrust_s = DISTRUST_S
        self._trusted_from = -math.inf
        self._refusals = 0  # since the rate was forgotten
        self._forgot_surely = False
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
        if now < self._trusted_from and not self._pace_mattered(now):
            return False
        elapsed = max(now - (self._measured_from or now), 1e-3)
        if self.per_second is None:
            before, self._suspected_at = self._suspected_at, now
            if now - before > SOON_S:
                return False
            self._base = max(1, self._left - 1) / max(elapsed, SHORTEST_S)
        elif self._answered:  # if nothing gets through, that is no matter of pace, and the pause grows instead
            least = self.per_second * LARGEST_CUT / CUT
            self._base = max(min(self.per_second, self._answered / elapsed), least)
            self._plateau = max(PLATEAU_CALLS, PLATEAU_S * self._base)
            self._in_vain = self._in_vain + 1 if self._answered < SHORT_EPISODE else 0
            self._episodes.append((self.per_second, self._answered))
        self.per_second = self._base * CUT
        self._next_at = now + 1 / self.per_second
        self._refused_at = self._measured_from = now
        self._left = self._answered = 0
        if self._in_vain >= IN_VAIN:
            self._forget(now, surely=True)
        elif self._pace_does_not_matter():
            self._forget(now, surely=False)
        return True

    def _pace_does_not_matter(self) -> bool:
        """Whether refusals come as often at a much slower pace, as they do when they are random."""
        if len(self._episodes) < COMPARED or self._episodes[0][0] < SLOWER * self._episodes[-1][0]:
            return False
        answers = [count for _, count in self._episodes]
        earlier, later = sum(answers[: COMPARED // 2]), sum(answers[COMPARED // 2 :])
        return sum(answers) >= MOSTLY_ANSWERED * COMPARED and later < LONGER * earlier

    def _forget(self, now: float, *, surely: bool) -> None:
        self.per_second, self._plateau = None, 0.0
        self._suspected_at = self._next_at = -math.inf
        self._in_vain = 0
        self._episodes.clear()
        self._trusted_from = now + self._distrust_s
        self._distrust_s *= 2
        self._refusals = 0
        self._forgot_surely = surely

    def _pace_mattered(self, now: float) -> bool:
        """Whether the refusals since the rate was forgotten, this one included, say that this was a mistake."""
        self._refusals += 1
        if self._forgot_surely or self._refusals < REFUSALS or self._refusals < REFUSED_SHARE * self._left:
            return False
        self._trusted_from = self._suspected_at = now
        self._left -= self._refusals - 1  # those that got through, and this one
        return True

    def _grown(self) -> float:
        if self._answered < self._plateau:
            # A cubic: back near the refused rate soon, then ever more slowly, as TCP's congestion control CUBIC does
            # it.
            missing = 1 - self._answered / self._plateau
            return self._base * (1 - (1 - CUT) * missing**3)
        start, doubling_s = (self._base, self._doubling_s) if self._plateau else (self._base * CUT, DOUBLING_S)
        doublings = (self._answered - self._plateau) / max(DOUBLING_CALLS, doubling_s * self._base)
        return start * math.exp2(min(doublings, 64))
