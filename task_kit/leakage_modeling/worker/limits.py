"""How long calls may take, how much of their output is kept, how often a dead worker is replaced."""

from __future__ import annotations

import os
from dataclasses import dataclass

PATIENCE = 20.0  # how much longer the clock may run than a call may compute: on a busy machine it waits for its turn
GRACE_S = 2.0  # between the end of a call inside and the end of its box


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """Seconds are seconds of computing, so that neighbours on the same cores decide nothing."""

    run_s: float = 30.0
    fit_s: float = 60.0
    predict_s: float = 30.0  # of each frame
    stdout_chars: int = 8_000
    restarts: int = 3
    patience: float = PATIENCE

    def clock_s(self, seconds: float) -> float:
        """When whoever waits outside gives up."""
        return seconds * self.patience + GRACE_S


def cores() -> int:
    """How many workers can compute at once; more would only stand in each other's way."""
    return max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
