"""How long calls may take, how much of their output is kept, and how often a dead worker is replaced."""

from __future__ import annotations

import os
from dataclasses import dataclass

PATIENCE = 20.0  # how many times its CPU time a call may take on the clock: on a busy machine it waits for its turn
GRACE_S = 2.0  # between the end of a call inside and the end of its box


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """The limits of calls. Seconds are CPU seconds, so that other processes on the machine decide nothing."""

    run_s: float = 30.0
    fit_s: float = 60.0
    predict_s: float = 30.0  # of each frame
    stdout_chars: int = 8_000
    restarts: int = 3
    patience: float = PATIENCE

    def clock_s(self, seconds: float) -> float:
        """After how many seconds on the clock the outside gives up."""
        return seconds * self.patience + GRACE_S


def cores() -> int:
    """How many workers can compute at once without getting in each other's way."""
    return max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
