"""The seeded bootstrap: where some pairs differ by far more than the rest, Student's t is not to be trusted.

Each resample is measured in its own standard errors, with its own skewness taken out (Hall's transformation, 1992). A
resample in which all pairs are equal counts as infinitely far away: where few pairs differ at all, there is little to
learn. Equal data give equal numbers: the seed is part of the method.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from operator import mul
from random import Random
from typing import TYPE_CHECKING, Final

import msgspec

from profiler.results.comparing.paired_tests import Constant, MeanDifference, compare_means, spread_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from profiler.metrics.intervals import Interval

SEED: Final = 20_260_101
FEWEST: Final = 10  # of fewer pairs a resample says less than t
UNSEEN: Final = 7  # resamples are so much smaller, and half at least: a small sample has not seen the whole of a tail
MANY: Final = 5_000  # beyond, resampling takes long
DRAWS: Final = 2_000_000
MOST_RESAMPLES: Final = 4_999
LEAST_RESAMPLES: Final = 999
COCHRAN: Final = 75  # times the squared skewness: from so many pairs on t holds. Cochran said 25; simulated, too few
ORDER: Final = (
    7  # of the mean of both ps: 3 cries wolf in 5.9 % of 50 log-normal pairs, 9 holds the truth in 96 % of 500
)
FEW: Final = 50  # of fewer pairs the larger p counts, as nothing less keeps false alarms rare
ONE_SIDED: Final = 0.025
SHOWN: Final = 0.05
FOR_A_FAMILY: Final = (
    4 / SHOWN
)  # resamples for each comparison: twice as many as let the least p pass Holm's first step
MOST_DRAWS: Final = 6_000_000  # two seconds
FURTHEST: Final = 1e9  # standard errors: as good as infinite
LEAST_SKEWNESS: Final = 1e-9
MOST_LOOKED_AT: Final = 100_000


class Bootstrap(msgspec.Struct, frozen=True):
    """`ratios`: the means of the resamples in their own standard errors, without their skewness, sorted."""

    n: int
    difference: float
    standard_error: float
    skewness: float
    ratios: array[float]
    method: str = "studentized bootstrap"

    @property
    def p(self) -> float:
        return min(1.0, 2 * min(self.p_at_most(0.0), self.p_at_least(0.0)))

    @property
    def at_its_least(self) -> bool:
        """Whether no resample lies beyond what was seen, so that only more of them could tell how small p is."""
        return self.p <= 2 / (len(self.ratios) + 1)

    @property
    def interval(self) -> Interval:
        """The bounds that are not refused at 2.5 % on either side; infinite where too many resamples are."""
        above = -(-975 * (len(self.ratios) + 1) // 1000)
        return self._bound(self.ratios[above - 1]), self._bound(self.ratios[-above])

    def p_at_most(self, bound: float) -> float:
        return (len(self.ratios) - bisect_left(self.ratios, self._ratio(bound)) + 1) / (len(self.ratios) + 1)

    def p_at_least(self, bound: float) -> float:
        return (bisect_right(self.ratios, self._ratio(bound)) + 1) / (len(self.ratios) + 1)

    def _ratio(self, bound: float) -> float:
        return without_skewness((self.difference - bound) / self.standard_error, skewness=self.skewness, n=self.n)

    def _bound(self, ratio: float) -> float:
        """The bound that has this ratio."""
        skewness, root = self.skewness, math.sqrt(self.n)
        if abs(skewness) > LEAST_SKEWNESS and math.isfinite(ratio):
            ratio = 3 * root / skewness * (math.cbrt(1 + skewness * (ratio / root - skewness / (6 * self.n))) - 1)
        return self.difference - ratio * self.standard_error


def without_skewness(ratio: float, *, skewness: float, n: int) -> float:
    """A mean in its standard errors, by Hall's cubic, which keeps the order and can be turned round."""
    part = skewness * ratio / math.sqrt(n)
    return ratio * (1 + part / 3 + part * part / 27) + skewness / (6 * math.sqrt(n))


class Both(msgspec.Struct, frozen=True):
    """The bootstrap and t together. A tail on both sides misleads the first, one on one side the second, and a sample does
    not tell which it has. Their mean p cries wolf too often, the larger p holds the truth more often than it says; the mean
    of order 7 lies between and does neither."""

    bootstrap: Bootstrap
    t: MeanDifference
    method: str = "bootstrap and t"

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
        return min(1.0, 2 * min(self.p_at_most(0.0), self.p_at_least(0.0)))

    @property
    def interval(self) -> Interval | None:
        """The bounds that are not refused at 2.5 % on either side; None where there is no end."""
        low, high = self._end(self.p_at_most, -1.0), self._end(self.p_at_least, 1.0)
        return (low, high) if math.isfinite(low) and math.isfinite(high) else None

    def p_at_most(self, bound: float) -> float:
        return _together(self.bootstrap.p_at_most(bound), self.t.p_at_most(bound), self.n)

    def p_at_least(self, bound: float) -> float:
        return _together(self.bootstrap.p_at_least(bound), self.t.p_at_least(bound), self.n)

    def _end(self, p: Callable[[float], float], side: float) -> float:
        """The first bound on this side that is refused: both ps fall the further it is away."""
        inside, outside = 0.0, 1.0
        while p(self.difference + side * outside * self.standard_error) > ONE_SIDED:
            inside, outside = outside, 2 * outside
            if outside > FURTHEST:
                return math.copysign(math.inf, side)
        for _ in range(50):
            middle = (inside + outside) / 2
            refused = p(self.difference + side * middle * self.standard_error) <= ONE_SIDED
            inside, outside = (inside, middle) if refused else (middle, outside)
        return self.difference + side * outside * self.standard_error


def _together(one: float, other: float, n: int) -> float:
    return max(one, other) if n < FEW else float(((one**ORDER + other**ORDER) / 2) ** (1 / ORDER))


def compare_values(
    differences: Sequence[float], *, family: int = 1
) -> tuple[Both | MeanDifference | Constant | None, str | None]:
    """The test that suits these differences, one of so many that are corrected together; and a warning where none suits
    well."""
    plain = compare_means(differences)
    n = len(differences)
    if isinstance(plain, Constant) and plain.difference:
        return plain, "all pairs differ by the same, so what a rarer kind of pair would do is not known"
    if not isinstance(plain, MeanDifference) or n < FEWEST or n > MOST_LOOKED_AT:
        return plain, None
    if not heavy_tailed(differences):
        return plain, None
    if n > MANY:
        return plain, "a few pairs differ by far more than the rest, so the interval may be too narrow"
    return _with_resamples(plain, differences, family)


def _with_resamples(t: MeanDifference, differences: Sequence[float], family: int) -> tuple[Both, str | None]:
    """More resamples only where a smaller p could change the verdict, for they take long."""
    found = Both(resampled(differences), t)
    if found.bootstrap.at_its_least and found.p * family > SHOWN:
        found = Both(resampled(differences, least=math.ceil(FOR_A_FAMILY * family)), t)
    if found.interval is None:
        return found, "so few pairs differ that no interval can be given"
    if found.bootstrap.at_its_least and found.p * family > SHOWN:
        return found, f"resampling shows no p below {found.p:.1g} here, which is too much for {family:,} comparisons"
    return found, None


def heavy_tailed(values: Sequence[float]) -> bool:
    """By Cochran's rule: whether more values would be needed for the mean to be near normal."""
    n = len(values)
    return n < COCHRAN * skewness_of(values, *spread_of(values)) ** 2


def skewness_of(values: Sequence[float], mean: float, squares: float) -> float:
    cubes = math.fsum([(value - mean) ** 3 for value in values])
    return math.sqrt(len(values)) * cubes / squares**1.5 if squares > 0 else 0.0


def resample_size(n: int) -> int:
    return max((n + 1) // 2, n - UNSEEN)


def resamples_of(n: int) -> int:
    """How many resamples are drawn of so many pairs, unless a smaller p is asked for."""
    return max(LEAST_RESAMPLES, min(MOST_RESAMPLES, DRAWS // n))


def resampled(differences: Sequence[float], *, least: int = LEAST_RESAMPLES) -> Bootstrap:
    """The bootstrap of these differences, with at least so many resamples where that does not take too long."""
    n = len(differences)
    mean, squares = spread_of(differences)
    around = [each - mean for each in differences]
    size = resample_size(n)
    choices = Random(SEED).choices  # noqa: S311
    resamples = max(resamples_of(n), min(least, MOST_DRAWS // n))
    ratios = sorted(_ratio_of(choices(around, k=size), size, squares * 1e-12) for _ in range(resamples))
    error = math.sqrt(squares / (n - 1) / n)
    return Bootstrap(n, mean, error, skewness_of(differences, mean, squares), array("d", ratios))


def _ratio_of(drawn: list[float], size: int, flat: float) -> float:
    """The mean of a resample in its standard errors, without its skewness. `flat`: below it there is no spread."""
    squared = list(map(mul, drawn, drawn))
    total, squares = sum(drawn), sum(squared)
    mean = total / size
    spread = squares - total * mean
    if spread <= flat:
        return math.copysign(math.inf, total)
    cubes = sum(map(mul, squared, drawn)) - 3 * mean * squares + 2 * total * mean * mean
    skewness = math.sqrt(size) * cubes / spread**1.5
    return without_skewness(total / math.sqrt(spread * size / (size - 1)), skewness=skewness, n=size)
