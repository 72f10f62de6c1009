"""The seeded bootstrap: where pairs are few or some differ by far more than the rest, Student's t is not to be trusted.

Studentized: each resample is measured in its own standard errors, which follows a skewed distribution where percentiles of
the means would not. Equal data give equal numbers: the seed is part of the method.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from operator import mul
from random import Random
from typing import TYPE_CHECKING, Final

import msgspec

from profiler.results.comparing.paired_tests import MeanDifference, compare_means, spread_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.metrics.intervals import Interval
    from profiler.results.comparing.paired_tests import Constant

SEED: Final = 20_260_101
FEWEST: Final = 10  # of fewer pairs a resample says less than t
FEW: Final = 30
MANY: Final = 5_000  # beyond, resampling takes long
DRAWS: Final = 4_000_000
MOST_RESAMPLES: Final = 9_999
LEAST_RESAMPLES: Final = 999
COCHRAN: Final = (
    100  # times the squared skewness: from so many values on t holds. Cochran said 25; simulated, that is too few
)
MOST_LOOKED_AT: Final = 100_000


class Bootstrap(msgspec.Struct, frozen=True):
    """`ratios`: the means of the resamples in their own standard errors, sorted."""

    n: int
    difference: float
    standard_error: float
    ratios: array[float]
    method: str = "studentized bootstrap"

    @property
    def p(self) -> float:
        return min(1.0, 2 * min(self.p_at_most(0.0), self.p_at_least(0.0)))

    @property
    def interval(self) -> Interval:
        return (
            self.difference - self._quantile(0.975) * self.standard_error,
            self.difference - self._quantile(0.025) * self.standard_error,
        )

    def p_at_most(self, bound: float) -> float:
        at = (self.difference - bound) / self.standard_error
        return (len(self.ratios) - bisect_left(self.ratios, at) + 1) / (len(self.ratios) + 1)

    def p_at_least(self, bound: float) -> float:
        at = (self.difference - bound) / self.standard_error
        return (bisect_right(self.ratios, at) + 1) / (len(self.ratios) + 1)

    def _quantile(self, q: float) -> float:
        """Linear between neighbours."""
        place = q * (len(self.ratios) - 1)
        below = math.floor(place)
        low, high = self.ratios[below], self.ratios[min(below + 1, len(self.ratios) - 1)]
        return low + (place - below) * (high - low)


class Cautious(msgspec.Struct, frozen=True):
    """The bootstrap and t, and in each question the one that says less: a tail on both sides misleads the first, one on
    one side the second, and a sample does not tell which it has."""

    bootstrap: Bootstrap
    t: MeanDifference
    method: str = "bootstrap and t, the more cautious"

    @property
    def n(self) -> int:
        return self.t.n

    @property
    def difference(self) -> float:
        return self.t.difference

    @property
    def standard_error(self) -> float:
        return self.t.standard_error

    @property
    def p(self) -> float:
        return max(self.bootstrap.p, self.t.p)

    @property
    def interval(self) -> Interval:
        low, high = zip(self.bootstrap.interval, self.t.interval, strict=True)
        return min(low), max(high)

    def p_at_most(self, bound: float) -> float:
        return max(self.bootstrap.p_at_most(bound), self.t.p_at_most(bound))

    def p_at_least(self, bound: float) -> float:
        return max(self.bootstrap.p_at_least(bound), self.t.p_at_least(bound))


def compare_values(differences: Sequence[float]) -> tuple[Cautious | MeanDifference | Constant | None, str | None]:
    """The test that suits these differences, and a warning where none suits well."""
    plain = compare_means(differences)
    n = len(differences)
    if not isinstance(plain, MeanDifference) or n < FEWEST or n > MOST_LOOKED_AT:
        return plain, None
    if n >= FEW and not heavy_tailed(differences):
        return plain, None
    if n > MANY:
        return plain, "a few pairs differ by far more than the rest, so the interval may be too narrow"
    bootstrap = resampled(differences)
    return (plain if bootstrap is None else Cautious(bootstrap, plain)), None


def heavy_tailed(values: Sequence[float]) -> bool:
    """By Cochran's rule: whether more values would be needed for the mean to be near normal."""
    n = len(values)
    mean, squares = spread_of(values)
    cubes = math.fsum([(value - mean) ** 3 for value in values])
    return squares > 0 and n < COCHRAN * n * cubes * cubes / squares**3


def resampled(differences: Sequence[float]) -> Bootstrap | None:
    """None where so few values differ that resamples without any spread are frequent."""
    n = len(differences)
    mean, squares = spread_of(differences)
    around = [each - mean for each in differences]
    flat = squares * 1e-12
    choices, resamples = Random(SEED).choices, max(LEAST_RESAMPLES, min(MOST_RESAMPLES, DRAWS // n))  # noqa: S311
    ratios = array("d")
    for _ in range(resamples):
        drawn = choices(around, k=n)
        total = sum(drawn)
        spread = sum(map(mul, drawn, drawn)) - total * total / n
        if spread > flat:
            ratios.append(total / math.sqrt(spread * n / (n - 1)))
    if len(ratios) < 0.99 * resamples:
        return None
    return Bootstrap(n, mean, math.sqrt(squares / (n - 1) / n), array("d", sorted(ratios)))
