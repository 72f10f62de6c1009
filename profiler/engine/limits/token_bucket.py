"""A token bucket: what a provider lets through a minute, filling up all the time.

Comes in: amounts, and moments of a clock that the caller reads. Goes out: seconds to wait. Awaits nothing.
"""

from __future__ import annotations

MINUTE_S = 60.0
RESERVE_S = 0.05  # of the rate, never drawn: calls leave evenly and arrive in bunches, the last of them too early


class TokenBucket:
    """Knows how much may be sent now. It is a guess, as others may draw on the same limit: replies correct it."""

    def __init__(self, per_minute: float, *, now: float) -> None:
        self.per_minute = per_minute
        self._level = per_minute
        self._filled_at = now

    def level(self, now: float) -> float:
        self._fill(now)
        return self._level

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be drawn. What is more than a full bucket waits for a full one."""
        self._fill(now)
        missing = min(amount + self.per_minute * (RESERVE_S / MINUTE_S), self.per_minute) - self._level
        return missing * MINUTE_S / self.per_minute if missing > 0 else 0.0

    def draw(self, amount: float) -> None:
        """Take an amount that was waited for; a negative one gives back what was drawn too much."""
        self._level = min(self._level - amount, self.per_minute)

    def empty(self, now: float) -> None:
        """The provider refused: whatever we thought was left is not there."""
        self._fill(now)
        self._level = min(self._level, 0.0)

    def correct(self, *, limit: float, remaining: float, in_flight: float, now: float) -> None:
        """Believe a reply: it saw `remaining`, but perhaps not yet what is in flight."""
        self._fill(now)
        if limit > 0:
            self.per_minute = limit
        self._level = max(min(self._level, remaining), remaining - in_flight)

    def _fill(self, now: float) -> None:
        if now > self._filled_at:
            self._level = min(self.per_minute, self._level + (now - self._filled_at) * self.per_minute / MINUTE_S)
            self._filled_at = now
