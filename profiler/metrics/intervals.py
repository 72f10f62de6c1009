"""95 % intervals of rates, means and products, computed from counts and exact sums that merge.

Everything is deterministic: no resampling, no numpy.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

Interval = tuple[float, float]

CONFIDENCE: Final = 0.95
Z95: Final = 1.959963984540054
EXACT_DF: Final = 200  # up to here t quantiles are exact, beyond by an expansion

FIXED_BITS: Final = 60
SPREAD_BITS: Final = 20  # more bits under the root, so that a small spread does not become 0


def fixed(value: float) -> int:
    """A number as a whole multiple of 2^-60, so that sums are exact and the order of adding does not matter."""
    numerator, denominator = value.as_integer_ratio()
    return (numerator << FIXED_BITS) // denominator


def wilson(successes: float, n: float) -> Interval:
    """Wilson's score interval of a rate. It keeps its width at 0 and 1, where the textbook one has none."""
    square = Z95 * Z95
    centre = (successes + square / 2) / (n + square)
    half = Z95 / (n + square) * math.sqrt(max(0.0, successes * (n - successes) / n) + square / 4)
    return (
        0.0 if successes <= 0 else max(0.0, centre - half),
        1.0 if successes >= n else min(1.0, centre + half),
    )


def mean_interval(n: int, total: int, squares: int, *, lower: float | None, upper: float | None) -> Interval | None:
    """Student's t interval around the mean of `n` fixed-point values, kept within the bounds of the values.

    One value, or values that are all the same, do not prove that there is no spread: they get the widest interval that
    their bounds allow. Without bounds a single value has no interval.
    """
    spread = n * squares - total * total
    if lower is not None and upper is not None and spread == 0:
        return bounded_interval(n, total / (n << FIXED_BITS), lower=lower, upper=upper)
    if n < 2:
        return None
    mean = total / (n << FIXED_BITS)
    half = t_quantile(0.5 + CONFIDENCE / 2, n - 1) * _standard_error(n, spread)
    low = mean - half if lower is None else max(lower, mean - half)
    high = mean + half if upper is None else min(upper, mean + half)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def bounded_interval(n: int, mean: float, *, lower: float, upper: float) -> Interval:
    """The interval for `n` values that are all equal.

    Among all values with this mean and these bounds, those that are only ever at one bound or the other spread widest,
    so the interval of such a rate holds for all.
    """
    if n < 2:
        return (lower, upper)
    width = upper - lower
    low, high = wilson(n * (mean - lower) / width, n)
    return (lower + low * width, lower + high * width)


def _standard_error(n: int, spread: int) -> float:
    """The root is taken of an exact integer: no cancellation, and no overflow of a squared float."""
    root = math.isqrt((spread << 2 * SPREAD_BITS) // (n * n * (n - 1)))
    return root / (1 << FIXED_BITS + SPREAD_BITS)


def product_interval(x: float, x_ci: Interval, y: float, y_ci: Interval, *, correlation: float) -> Interval:
    """The interval of x·y for two correlated means in [0, 1], from their own intervals (MOVER, Zou & Donner 2008).

    Chosen over the delta method and the bootstrap because both claim certainty when the sample shows no refusal, or
    only refusals, while the two intervals used here keep their width there; and because it needs only sums, not the
    values. The last term (Goodman's, for products) matters when one factor is 0. The result never leaves the product of
    the two intervals.
    """
    low = x * y - _reach(x, y, x - x_ci[0], y - y_ci[0], correlation)
    high = x * y + _reach(x, y, x_ci[1] - x, y_ci[1] - y, correlation)
    return max(low, x_ci[0] * y_ci[0]), min(high, x_ci[1] * y_ci[1])


def _reach(x: float, y: float, dx: float, dy: float, correlation: float) -> float:
    squared = (y * dx) ** 2 + (x * dy) ** 2 + 2 * correlation * x * y * dx * dy + (dx * dy) ** 2
    return math.sqrt(max(0.0, squared))


@lru_cache(maxsize=1024)
def t_quantile(p: float, df: int) -> float:
    """Exact for small `df`; beyond, Fisher's expansion around the normal quantile, which is good to 1e-9 there."""
    if df <= EXACT_DF:
        angle: float = _solve(lambda at: _t_cdf_at_angle(at, df), p, reach=math.pi / 2)
        return math.sqrt(df) * math.tan(angle)
    z = _solve(lambda at: math.erfc(-at / math.sqrt(2)) / 2, p, reach=40.0)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / float(df) ** power for power, term in enumerate(terms, 1))


def _t_cdf_at_angle(angle: float, df: int) -> float:
    """The closed form for whole degrees of freedom (Abramowitz & Stegun 26.7.3-4), with t = √df · tan(angle)."""
    square = math.cos(angle) ** 2
    if df % 2:
        series, term = (0.0, 0.0) if df == 1 else (math.cos(angle), math.cos(angle))
        for k in range(3, df - 1, 2):
            term *= square * (k - 1) / k
            series += term
        return 0.5 + (angle + math.sin(angle) * series) / math.pi
    series = term = 1.0
    for k in range(2, df - 1, 2):
        term *= square * (k - 1) / k
        series += term
    return 0.5 + math.sin(angle) * series / 2


def _solve(cdf: Callable[[float], float], p: float, *, reach: float) -> float:
    low, high = -reach, reach
    # halved often enough that floats cannot tell the two ends apart
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if cdf(middle) < p else (low, middle)
    return (low + high) / 2
