"""When to try again, and how long to wait first: pure functions of what failed and how often.

Knows nothing of clients, tasks or clocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from profiler.core.errors import CallError

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0


def wait_before(attempt: int, error: CallError, *, jitter: float) -> float:
    """Seconds before the given attempt (2 is the first retry); what the provider asks for is a floor.

    `jitter` in [0, 1) spreads the retries of a burst over the upper half of the exponential wait.
    """
    longest = min(FIRST_WAIT_S * 2.0 ** min(attempt - 2, 32), LONGEST_WAIT_S)
    return max(longest * (0.5 + 0.5 * jitter), error.retry_after_s or 0.0)


def try_again(error: CallError, *, attempts: int, max_attempts: int, wait_s: float, left_s: float) -> bool:
    """Whether a failed call is worth another: the error passes, and neither tries nor time have run out."""
    return error.retryable and attempts < max_attempts and wait_s < left_s
