from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.metrics import intervals

unit = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def sums(numbers: list[float]) -> tuple[int, int, int]:
    units = [intervals.fixed(number) for number in numbers]
    return len(units), sum(units), sum(unit * unit for unit in units)


# scipy.stats.t.ppf(p, df)
@pytest.mark.parametrize(
    ("p", "df", "known"),
    [
        (0.975, 1, 12.706204736432095),
        (0.975, 2, 4.302652729911275),
        (0.975, 3, 3.182446305284263),
        (0.975, 4, 2.7764451051977987),
        (0.975, 5, 2.570581835636314),
        (0.975, 10, 2.2281388519649385),
        (0.975, 30, 2.0422724563012373),
        (0.975, 100, 1.9839715184496334),
        (0.975, 1000, 1.9623390808264078),
        (0.95, 5, 2.015048372669157),
        (0.025, 5, -2.570581835636314),
    ],
)
def test_t_quantiles_are_those_of_scipy(p: float, df: int, known: float) -> None:
    assert intervals.t_quantile(p, df) == pytest.approx(known, rel=1e-9)


def test_t_is_continuous_where_the_expansion_takes_over_and_ends_at_the_normal() -> None:
    assert 0 < intervals.t_quantile(0.975, 200) - intervals.t_quantile(0.975, 201) < 1e-4
    assert intervals.t_quantile(0.975, 10**9) == pytest.approx(intervals.Z95, abs=1e-8)


# statsmodels proportion_confint(method="wilson")
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(1, 3, 0.0614919, 0.7923404), (0, 10, 0.0, 0.2775328), (10, 10, 0.7224672, 1.0), (50, 100, 0.4038315, 0.5961685)],
)
def test_wilson_intervals_are_the_known_ones(successes: int, n: int, low: float, high: float) -> None:
    assert intervals.wilson(successes, n) == pytest.approx((low, high), abs=1e-6)


def test_a_mean_has_the_t_interval() -> None:
    # scipy.stats.t.interval(0.95, 2, 2, sem([1, 2, 3]))
    low, high = intervals.mean_interval(*sums([1, 2, 3]), lower=None, upper=None) or (0, 0)
    assert (low, high) == pytest.approx((-0.4841377, 4.4841377), abs=1e-6)


def test_one_value_knows_no_spread() -> None:
    assert intervals.mean_interval(*sums([0.5]), lower=None, upper=None) is None
    assert intervals.mean_interval(*sums([0.5]), lower=0, upper=1) == (0, 1)


def test_equal_values_are_not_certainty() -> None:
    assert intervals.mean_interval(*sums([1.0] * 10), lower=0, upper=1) == intervals.wilson(10, 10)


def test_a_huge_spread_has_no_interval_instead_of_infinity() -> None:
    assert intervals.mean_interval(*sums([-1e308, 1e308]), lower=None, upper=None) is None


@given(unit)
def test_an_interval_holds_its_mean_and_stays_in_its_bounds(numbers: list[float]) -> None:
    low, high = intervals.mean_interval(*sums(numbers), lower=0.0, upper=1.0) or (2, 2)
    assert 0 <= low <= math.fsum(numbers) / len(numbers) + 1e-9
    assert math.fsum(numbers) / len(numbers) - 1e-9 <= high <= 1


def test_t_and_wilson_cover_what_they_promise() -> None:
    source = random.Random(7)
    hits_t = hits_wilson = 0
    for _ in range(1000):
        drawn = [source.random() for _ in range(12)]
        low, high = intervals.mean_interval(*sums(drawn), lower=0.0, upper=1.0) or (2, 2)
        hits_t += low <= 0.5 <= high
        low, high = intervals.wilson(sum(source.random() < 0.2 for _ in range(40)), 40)
        hits_wilson += low <= 0.2 <= high
    assert 930 <= hits_t <= 970
    assert 930 <= hits_wilson <= 980
