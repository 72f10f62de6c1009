"""Which values of a sample bound the interval of a percentile: order statistics, which assume nothing of the distribution.

How many of n values lie below the true percentile is binomial. So the values of certain ranks enclose it with at least
95 % probability; in a small sample there may be no such value, and then that end is unknown.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

TAIL: Final = 0.025
NEGLIGIBLE: Final = 1e-20  # beside the likeliest count

Ranks = tuple[int | None, int | None]


@lru_cache(maxsize=1024)
def enclosing_ranks(n: int, q: float) -> Ranks:
    """The ranks, from 1, of the two values that enclose the q-quantile. None where even the first or last is not enough:
    the upper one where q^n > 0.025, which holds for p99 below n = 368."""
    if n == 0 or not 0 < q < 1:
        return None, None
    first, shares = _binomial(n, q)
    whole = math.fsum(shares)
    low = high = None
    below = 0.0
    for count, share in enumerate(shares, first):
        if (
            below <= TAIL
        ):  # P(fewer than `count` values below) is small enough: the value of rank `count` is a lower end
            low = count or None
        if high is None and below >= 1 - TAIL:
            high = count
        below += share / whole
    if high is None and first + len(shares) <= n:
        high = first + len(shares)
    return low, high


def _binomial(n: int, q: float) -> tuple[int, list[float]]:
    """How likely each count of n is, relative to the likeliest; counts that are next to impossible are left out."""
    mode = min(n, math.floor((n + 1) * q))
    odds = q / (1 - q)
    above, share, count = [1.0], 1.0, mode
    while count < n and share > NEGLIGIBLE:
        share *= (n - count) / (count + 1) * odds
        count += 1
        above.append(share)
    below, share, count = [], 1.0, mode
    while count > 0 and share > NEGLIGIBLE:
        share *= count / (n - count + 1) / odds
        count -= 1
        below.append(share)
    return count, below[::-1] + above
