"""Intervals for answers of which several belong to one dialogue.

The answers to one dialogue are alike: ten of them say less than ten answers to ten dialogues. So what varies between
dialogues (clusters) decides how wide an interval is. For that, each dialogue adds five whole numbers to a state, once all
of its answers are merged; they are exact, and merge in any order.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import msgspec

from profiler.metrics.intervals import (
    CONFIDENCE,
    FIXED_BITS,
    SPREAD_BITS,
    Interval,
    bounded_interval,
    t_quantile,
    wilson,
)

# How much of a dialogue with all answers right, and of one with all wrong, is added before it is estimated how alike the
# answers to a dialogue are. Without it few or rare mistakes would look like proof that they are not: with 20 dialogues
# intervals of 95 % would hold in 88 %. `tests/profiler/metrics/coverage.py` shows what comes of it.
ADDED: Final = 10  # one part in so many


class ClusterSums(NamedTuple):
    """Sums over dialogues, where `n` answers to a dialogue come to `total`: how many dialogues there are, n², n·total,
    total², and total²/n as a fixed-point number."""

    dialogues: int
    n_n: int
    n_total: int
    total_total: int
    total_mean: int


class Repeated(msgspec.Struct, frozen=True):
    """What answers that belong together say of each other. None: it takes more answers, or more dialogues, to tell."""

    dialogues: int
    n_effective: float
    within: float | None
    between: float | None


def of_dialogue(n: int, total: int) -> ClusterSums:
    """What one dialogue adds; one without an answer that counts adds nothing."""
    if not n:
        return ClusterSums(0, 0, 0, 0, 0)
    square = total * total
    return ClusterSums(1, n * n, n * total, square, (square << FIXED_BITS) // n)


def off_the_mean(n: int, total: int, sums: ClusterSums) -> int:
    """n² times the sum, over the dialogues, of (total − n · mean)²."""
    return n * n * sums.total_total - 2 * n * total * sums.n_total + total * total * sums.n_n


def mean_interval(
    n: int, total: int, sums: ClusterSums, *, lower: float | None, upper: float | None
) -> Interval | None:
    """Student's t with one degree of freedom less than there are dialogues, around the mean of fixed-point values; the
    standard error is the one that is robust to clusters, with the correction for few of them."""
    dialogues, off = sums.dialogues, off_the_mean(n, total, sums)
    mean = total / (n << FIXED_BITS)
    if lower is not None and upper is not None and off == 0:
        return bounded_interval(dialogues, mean, lower=lower, upper=upper)
    if dialogues < 2:
        return None
    root = math.isqrt((dialogues * off << 2 * SPREAD_BITS) // (dialogues - 1))
    half = t_quantile(0.5 + CONFIDENCE / 2, dialogues - 1) * (root / (n * n << FIXED_BITS + SPREAD_BITS))
    low = mean - half if lower is None else max(lower, mean - half)
    high = mean + half if upper is None else min(upper, mean + half)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def effective_n(n: int, total: int, squares: int, sums: ClusterSums) -> float:
    """How many answers to as many dialogues would make the mean as certain."""
    spread, off = n * squares - total * total, off_the_mean(n, total, sums)
    if off == 0:
        return float(n if spread else sums.dialogues)
    return min(float(n), n * n * spread / off)


def effective_n_of_rate(n: int, holds: int, sums: ClusterSums) -> float:
    """The effective n of a share, also where too few answers differ to see how alike those to one dialogue are."""
    if sums.dialogues == 1:
        return 1.0
    dialogues = sums.dialogues
    parts = ADDED * dialogues
    answers = n * (parts + 2)  # with those added, as a number of `parts`
    right = holds * parts + n
    wrong = answers - right
    off = answers * answers * sums.total_total - 2 * right * answers * sums.n_total + right * right * sums.n_n
    off = parts * dialogues * off + n * n * (right * right + wrong * wrong)
    return min(float(n), n * dialogues * answers * right * wrong / off)


def rate_interval(n: int, holds: int, sums: ClusterSums) -> Interval:
    """Wilson's interval at the effective n.

    That n is only estimated, and badly from few dialogues: it is reduced by the squared ratio of the two quantiles of
    Student's t, but not below the number of dialogues.
    """
    effective, dialogues = effective_n_of_rate(n, holds, sums), sums.dialogues
    if effective > dialogues:
        level = 0.5 + CONFIDENCE / 2
        ratio = t_quantile(level, int(effective) - 1) / t_quantile(level, dialogues - 1)
        effective = max(float(dialogues), effective * ratio * ratio)
    return wilson(holds / n * effective, effective)


def repeated(n: int, total: int, squares: int, sums: ClusterSums, *, unit: int, effective: float) -> Repeated:
    """The variance of the answers to one dialogue, and of the dialogues' own means (the usual estimates of an analysis of
    variance); `unit` is what 1 is as a number of `total`."""
    dialogues = sums.dialogues
    if n == dialogues:
        return Repeated(dialogues, effective, None, None)
    scale, free = unit * unit << FIXED_BITS, n - dialogues
    inside = max(0, (squares << FIXED_BITS) - sums.total_mean)
    if dialogues == 1:
        return Repeated(dialogues, effective, inside / (free * scale), None)
    # The mean squares between and within dialogues on a common denominator, so that nothing is rounded before the end.
    outside = n * sums.total_mean - (total * total << FIXED_BITS)
    between = max(0, outside * free - inside * n * (dialogues - 1)) / (free * (n * n - sums.n_n) * scale)
    return Repeated(dialogues, effective, inside / (free * scale), between)
