"""The time that the server goes by. It can be moved forward, so that a test need not wait for a day."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """Two clocks that are moved together: one that only counts seconds, and one that knows the date."""

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self.ahead_s = 0.0

    def now(self) -> float:
        return self._monotonic() + self.ahead_s

    def wall(self) -> float:
        return self._wall() + self.ahead_s

    def uptime(self) -> float:
        """The time that really passes, wherever the clock was moved to."""
        return self._monotonic()

    def advance(self, seconds: float) -> None:
        self.ahead_s += seconds

    def reset(self) -> None:
        self.ahead_s = 0.0


def written(wall: float) -> str:
    """As the API writes a moment: RFC 3339 in UTC, with microseconds."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
