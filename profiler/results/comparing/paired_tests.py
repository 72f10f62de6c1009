"""Tests and 95 % intervals of paired differences: what was measured in one run, and what in the other on the same
dialogue.

Each result can be asked three things: the p of no difference, an interval, and the p that the difference is at most some
bound, which equivalence and not-worse are made of.
"""

from __future__ import annotations

import math
from itertools import repeat
from operator import mul, sub
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from profiler.metrics.intervals import Z95, t_quantile
from profiler.results.comparing.distributions import fair_coin, normal_above, normal_quantile, t_above

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.metrics.intervals import Interval

RARER: Final = 0.1
POWER_80: Final = normal_quantile(0.8)


class PairedTest(Protocol):
    """What a test of a paired difference can be asked."""

    @property
    def difference(self) -> float: ...
    @property
    def n(self) -> int: ...
    @property
    def method(self) -> str: ...
    @property
    def p(self) -> float | None: ...
    @property
    def interval(self) -> Interval | None: ...
    @property
    def standard_error(self) -> float: ...
    def p_at_most(self, bound: float) -> float | None:
        """One-sided: how likely so large a difference is where the true one is `bound` or less."""

    def p_at_least(self, bound: float) -> float | None:
        """The same for so small a difference where the true one is `bound` or more."""


class TrueFalse(msgspec.Struct, frozen=True):
    """True/false scores: `gained` pairs went from false to true, `lost` from true to false. McNemar's exact test, and
    the score interval of Tango (1998), which stays honest where few pairs differ."""

    n: int
    gained: int
    lost: int
    method: str = "exact McNemar, score interval"

    @property
    def difference(self) -> float:
        return (self.gained - self.lost) / self.n

    @property
    def p(self) -> float:
        return fair_coin(self.gained, self.gained + self.lost)

    @property
    def standard_error(self) -> float:
        """That of the point estimate, with half a pair added to each kind so that it is never 0."""
        gained, lost, n = self.gained + 0.5, self.lost + 0.5, self.n + 1
        return math.sqrt(gained + lost - (gained - lost) ** 2 / n) / n

    @property
    def interval(self) -> Interval:
        return self._limit(Z95), self._limit(-Z95)

    def p_at_most(self, bound: float) -> float:
        return normal_above(self._score(bound)) if bound else self._exact(self.gained - self.lost)

    def p_at_least(self, bound: float) -> float:
        return normal_above(-self._score(bound)) if bound else self._exact(self.lost - self.gained)

    def _exact(self, more: int) -> float:
        """At no difference the coin knows the answer: the score cries wolf where few pairs differ."""
        return self.p / 2 if more > 0 else 1 - self.p / 2

    def _score(self, delta: float) -> float:
        """How many standard errors the difference lies above `delta`, the error being that of a true `delta`."""
        distance = self.gained - self.lost - self.n * delta
        variance = self.n * (2 * self._least_lost(delta) + delta * (1 - delta))
        if variance <= 0:
            return math.copysign(math.inf, distance) if distance else 0.0
        return distance / math.sqrt(variance)

    def _least_lost(self, delta: float) -> float:
        """The likeliest share of true → false where the difference is `delta`: the larger root of a quadratic."""
        n, gained, lost = self.n, self.gained, self.lost
        a, b, c = 2 * n, -gained - lost + (2 * n - gained + lost) * delta, -lost * delta * (1 - delta)
        root = math.sqrt(max(0.0, b * b - 4 * a * c))
        found = (root - b) / (2 * a) if b <= 0 else (-2 * c / (root + b) if root + b else 0.0)
        return max(found, -delta, 0.0)

    def _limit(self, z: float) -> float:
        """The difference from which the one that was seen is `z` standard errors away; the score falls as it grows."""
        low, high = (-1.0, self.difference) if z > 0 else (self.difference, 1.0)
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if self._score(middle) > z else (low, middle)
        return (low + high) / 2


class MeanDifference(msgspec.Struct, frozen=True):
    """Student's t on the differences of the pairs."""

    n: int
    difference: float
    standard_error: float
    df: int
    method: str = "paired t"

    @property
    def p(self) -> float:
        return 2 * t_above(abs(self.difference) / self.standard_error, self.df)

    @property
    def interval(self) -> Interval:
        reach = t_quantile(0.975, self.df) * self.standard_error
        return self.difference - reach, self.difference + reach

    def p_at_most(self, bound: float) -> float:
        return t_above((self.difference - bound) / self.standard_error, self.df)

    def p_at_least(self, bound: float) -> float:
        return t_above((bound - self.difference) / self.standard_error, self.df)


class Constant(msgspec.Struct, frozen=True):
    """All pairs differ by the same, so how much others may differ is unknown, not zero: a rarer kind of pair could turn the
    mean round. p is the chance that none of it is seen though one pair in ten is of it. The sign test would say less: it
    is about the direction of most pairs, not about the mean, and of 20 such pairs cries wolf in 12 samples of 100."""

    n: int
    difference: float
    method: str = "none of a rarer kind seen"
    standard_error: float = 0.0
    interval: None = None

    @property
    def p(self) -> float:
        return 1.0 if self.difference == 0 else self._unseen

    def p_at_most(self, bound: float) -> float | None:
        return self._unseen if self.difference > bound else None

    def p_at_least(self, bound: float) -> float | None:
        return self._unseen if self.difference < bound else None

    @property
    def _unseen(self) -> float:
        return float((1 - RARER) ** self.n)


def compare_means(differences: Sequence[float]) -> MeanDifference | Constant | None:
    """None where fewer than two pairs leave nothing to say."""
    n = len(differences)
    if n < 2:
        return None
    mean, squares = spread_of(differences)
    if squares <= n * (1e-14 * (abs(mean) or 1e-300)) ** 2:
        return Constant(n, mean)
    return MeanDifference(n, mean, math.sqrt(squares / (n - 1) / n), n - 1)


def compare_clusters(differences: Sequence[float], clusters: Sequence[int]) -> MeanDifference | Constant | None:
    """The same where pairs of one cluster are not independent: a cluster-robust error, and t with clusters - 1."""
    n = len(differences)
    if n < 2:
        return None
    mean = math.fsum(differences) / n
    sums: dict[int, float] = {}
    for cluster, difference in zip(clusters, differences, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + (difference - mean)
    count = len(sums)
    squares = math.fsum(each * each for each in sums.values())
    if count < 2:
        return None
    if squares <= n * (1e-14 * (abs(mean) or 1e-300)) ** 2:
        return Constant(count, mean)
    error = math.sqrt(squares * count / (count - 1)) / n
    return MeanDifference(n, mean, error, count - 1, f"t over {count:,} clusters")


def spread_of(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the sum of squares around it."""
    mean = math.fsum(values) / len(values)
    away = list(map(sub, values, repeat(mean)))
    return mean, math.fsum(map(mul, away, away))


def equivalence(test: PairedTest, margin: float) -> float | None:
    """Two one-sided tests: the p that the true difference lies outside ± `margin`."""
    above, below = test.p_at_most(-margin), test.p_at_least(margin)
    return None if above is None or below is None else max(above, below)


def smallest_seen(test: PairedTest, *, family: int = 1) -> float | None:
    """The true difference that a comparison like this one, of a family of so many, shows in four of five cases."""
    return _seen(family) * test.standard_error or None


def pairs_needed(test: PairedTest, difference: float, *, family: int = 1) -> int | None:
    """How many pairs would show a true `difference` in four of five cases."""
    if not difference or not test.standard_error:
        return None
    return math.ceil(test.n * (_seen(family) * test.standard_error / difference) ** 2)


def _seen(family: int) -> float:
    """How many standard errors show: Holm asks the first of a family for a p of 5 % divided by their number, and the
    others for less."""
    return normal_quantile(1 - 0.025 / family) + POWER_80
