"""When the first call of a run left: the times of its records count from there."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import msgspec


class RunClock(msgspec.Struct):
    """`earlier_s`: how long ago the run had begun when its present session did."""

    earlier_s: float = 0.0
    first_call: float = math.inf  # of this session, by `time.monotonic`; none has left yet

    def at(self, now: float) -> float:
        since = now - self.first_call
        return self.earlier_s + since if since > 0.0 else self.earlier_s


def seconds_since(started: str | None) -> float:
    """Seconds since a run began, by the time in its header; 0 where the header has none."""
    if started is None:
        return 0.0
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds())
