"""A token bucket: an amount a minute that fills up all the time. The caller passes the time; nothing waits here."""

from __future__ import annotations

from typing import Protocol

MINUTE_S = 60.0
RESERVE_S = 0.05  # of the rate, never used: calls leave evenly but arrive in bunches, some of them too early


class Bucket(Protocol):
    """What the gate needs of a limit."""

    per_minute: float

    def level(self, now: float) -> float: ...

    def wait_s(self, amount: float, now: float) -> float: ...

    def draw(self, amount: float) -> None: ...

    def empty(self, now: float) -> None: ...

    def correct(self, *, limit: float, remaining: float, in_flight: float, now: float) -> None: ...


class TokenBucket:
    """How much may be sent now. That is a guess, because others may use the same limit; replies correct it."""

    def __init__(self, per_minute: float, *, now: float) -> None:
        self.per_minute = per_minute
        self._level = per_minute
        self._filled_at = now

    def level(self, now: float) -> float:
        self._fill(now)
        return self._level

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be taken. An amount that is more than a full bucket waits for a full one."""
        self._fill(now)
        missing = min(amount + self.per_minute * (RESERVE_S / MINUTE_S), self.per_minute) - self._level
        return missing * MINUTE_S / self.per_minute if missing > 0 else 0.0

    def draw(self, amount: float) -> None:
        """Take an amount; a negative one gives back what was taken too much."""
        self._level = min(self._level - amount, self.per_minute)

    def empty(self, now: float) -> None:
        """The provider refused, so nothing is left, whatever we thought."""
        self._fill(now)
        self._level = min(self._level, 0.0)

    def correct(self, *, limit: float, remaining: float, in_flight: float, now: float) -> None:
        """Believe what a reply says is left, except that it may not have counted the calls in flight yet."""
        self._fill(now)
        if limit > 0:
            self.per_minute = limit
        self._level = max(min(self._level, remaining), remaining - in_flight)

    def _fill(self, now: float) -> None:
        if now > self._filled_at:
            self._level = min(self.per_minute, self._level + (now - self._filled_at) * self.per_minute / MINUTE_S)
            self._filled_at = now
