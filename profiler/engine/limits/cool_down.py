"""The pause that all calls keep after a refusal, and the ramp at its end.

The caller passes the time; nothing waits here.
"""

from __future__ import annotations

import math
import random

FIRST_PAUSE_S = 0.5  # after a refusal that does not say how long to wait
SHORTEST_PAUSE_S = 0.05  # after one that asks for no time at all
LONGEST_FLOOR_S = 8.0  # how far the pause grows by itself; what the provider asks for may be longer
LONGEST_RAMP_S = 1.0
RAMP = 0.25  # of the pause


class CoolDown:
    """A pause for everyone, and a ramp at its end.

    Those who waited leave one by one, faster and faster, because all at once they would be refused again.

    The provider's `retry-after` is a floor for its length. A second floor doubles with every episode of refusals that
    no success interrupts: a provider that refuses everything with "retry-after: 0" would otherwise cause a storm of
    calls. Refusals of calls that left before the episode began belong to that episode.
    """

    def __init__(self) -> None:
        self.until = 0.0
        self.asked = False  # the provider named the length of the pause
        self.ends = False  # a pause or its ramp is not over yet
        self._episode_began = -math.inf
        self._episodes = 0
        self._ramp_s = 0.0
        self._ramp_began: float | None = None
        self._all = 0
        self._left = 0

    def refused(self, asked_s: float | None, *, left_at: float, at_most_s: float, now: float) -> None:
        """A call that left at `left_at` was refused.

        `asked_s` is what the provider asks for, None when it does not say.
        """
        if left_at >= self._episode_began:
            self._episode_began = now
            self._episodes += 1
        first_s = FIRST_PAUSE_S if asked_s is None else SHORTEST_PAUSE_S
        floor_s = min(first_s * 2.0 ** min(self._episodes - 1, 32), LONGEST_FLOOR_S)
        floor_s *= random.uniform(0.5, 1.0) if asked_s is None else 1.0  # noqa: S311 (no secret)
        asked = asked_s is not None and asked_s >= floor_s
        self.start(min(max(floor_s, asked_s or 0.0), at_most_s), asked=asked, now=now)

    def succeeded(self, *, left_at: float) -> None:
        """A call got through. One that left before the refusals began does not say that they are over."""
        if left_at >= self._episode_began:
            self._episodes = 0

    def start(self, seconds: float, *, asked: bool, now: float) -> None:
        """Pause; `asked` says whether the provider named the time. Of two pauses the one that ends later counts."""
        if now + seconds >= self.until:
            self.until, self.asked, self.ends = now + seconds, asked, True
            self._ramp_s, self._ramp_began, self._left = min(seconds * RAMP, LONGEST_RAMP_S), None, 0

    def wait_s(self, now: float) -> float:
        if self.until > now:
            return (self.until - now) * random.uniform(1.0, 1.02)  # noqa: S311 (no secret)
        if self._ramp_began is None:
            return 0.0
        # The n-th of N calls leaves after sqrt(n / N) of the ramp: slowly at first, then faster and faster.
        return max(0.0, self._ramp_began + self._ramp_s * math.sqrt(self._left / self._all) - now)

    def leaving(self, *, waiting: int, now: float) -> None:
        """One call leaves after the pause, and `waiting` stand behind it."""
        if self._ramp_began is None:
            self._ramp_began, self._all = now, waiting
        self._left += 1
        if self._left > self._all:
            self._ramp_began, self.ends = None, False

    @property
    def reason(self) -> str:
        return "retry_after" if self.asked else "cool_down"
