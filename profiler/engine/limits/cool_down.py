"""A pause that everyone keeps, and how those who waited for its end come back.

Comes in: how long the provider wants to be left alone, and calls as they leave. Goes out: seconds to wait. Reads no
clock, awaits nothing.
"""

from __future__ import annotations

import math
import random

LONGEST_RAMP_S = 1.0
RAMP = 0.25  # of the pause


class CoolDown:
    """When it is over, those who waited leave one by one, faster and faster: all at once would be refused again."""

    def __init__(self) -> None:
        self.until = 0.0
        self.asked = False
        self.ends = False
        self._ramp_s = 0.0
        self._begun: float | None = None
        self._all = 0
        self._left = 0

    def want(self, seconds: float, *, asked: bool, now: float) -> None:
        """The longest one counts, and who wanted it."""
        if now + seconds >= self.until:
            self.until, self.asked, self.ends = now + seconds, asked, True
            self._ramp_s, self._begun, self._left = min(seconds * RAMP, LONGEST_RAMP_S), None, 0

    def wait_s(self, now: float) -> float:
        if self.until > now:
            return (self.until - now) * random.uniform(1.0, 1.02)  # noqa: S311 (no secret)
        if self._begun is None:
            return 0.0
        return max(0.0, self._begun + self._ramp_s * math.sqrt(self._left / self._all) - now)

    def leaving(self, *, waiting: int, now: float) -> None:
        """One call leaves after the pause; `waiting` stand behind it."""
        if self._begun is None:
            self._begun, self._all = now, waiting
        self._left += 1
        if self._left > self._all:
            self._begun, self.ends = None, False

    @property
    def reason(self) -> str:
        return "retry_after" if self.asked else "cool_down"
