"""How many calls a provider let through lately, by what workers tell once a second of the second before."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

KEPT_S: Final = 300.0
KEPT_REFUSALS: Final = 1_000


class Told(NamedTuple):
    """So many calls left between these two moments, evenly as far as we know. Refused ones are taken off again."""

    since: float
    until: float
    calls: float


class CallsPassed:
    def __init__(self) -> None:
        self._told: deque[Told] = deque()
        self._refused: deque[float] = deque(maxlen=KEPT_REFUSALS)

    def left(self, count: float, *, since: float, now: float) -> None:
        """So many calls of one worker left since its message before this one."""
        if count:
            self._told.append(Told(min(since, now), now, count))
        while self._told and self._told[0].until < now - KEPT_S:
            self._told.popleft()

    def refused(self, at: float) -> None:
        """One of the calls that were told of, which left at this moment, was refused."""
        self._told.append(Told(at, at, -1.0))
        self._refused.append(at)

    def refused_since(self, since: float) -> int:
        return sum(at >= since for at in self._refused)

    def between(self, since: float, until: float) -> float:
        """How many got through. Of the last second before now not all is known yet."""
        return sum(each.calls * _share(each, since, until) for each in self._told)

    def per_second(self, *, of_last_s: float, now: float) -> float:
        return max(0.0, self.between(now - of_last_s, now)) / of_last_s


def _share(each: Told, since: float, until: float) -> float:
    """The part of what was told that lies between the two moments."""
    if each.until <= each.since:
        return float(since <= each.since < until)
    overlap = min(each.until, until) - max(each.since, since)
    return max(0.0, overlap) / (each.until - each.since)
