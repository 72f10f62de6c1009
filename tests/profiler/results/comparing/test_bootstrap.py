from __future__ import annotations

import random

import numpy as np
import pytest

from profiler.results.comparing.bootstrap import Cautious, compare_values, heavy_tailed, resampled
from profiler.results.comparing.paired_tests import MeanDifference, compare_means
from tests.profiler.results.comparing import simulation

SOURCE = random.Random(2)
SKEWED = [SOURCE.lognormvariate(0, 1) - 1.5 for _ in range(60)]
NORMAL = [SOURCE.gauss(0, 1) for _ in range(60)]


def test_equal_data_give_equal_numbers() -> None:
    first, second = resampled(SKEWED), resampled(SKEWED)

    assert (first.interval, first.p) == (second.interval, second.p)


def test_it_is_the_studentized_bootstrap_that_numpy_makes() -> None:
    found = resampled(SKEWED)
    low, high, p = simulation.resampled(np.array(SKEWED), np.random.default_rng(0), resamples=40_000)

    assert found.interval == pytest.approx((low, high), abs=0.04)
    assert found.p == pytest.approx(p, abs=0.02)


def test_its_interval_leans_to_the_side_of_the_tail() -> None:
    found = resampled(SKEWED)

    low, high = found.interval
    assert high - found.difference > 1.2 * (found.difference - low)


def test_interval_and_p_agree() -> None:
    found = resampled(SKEWED)

    low, high = found.interval
    assert found.p_at_most(low) == pytest.approx(0.025, abs=0.001)
    assert found.p_at_least(high) == pytest.approx(0.025, abs=0.001)


def test_it_is_taken_where_t_would_be_wrong_by_the_skewness() -> None:
    assert isinstance(compare_values(SKEWED)[0], Cautious)
    assert isinstance(compare_values(SKEWED[:9])[0], MeanDifference)
    assert isinstance(compare_values(NORMAL)[0], MeanDifference)


@pytest.mark.parametrize("seed", range(0, 60, 5))
def test_zero_lies_outside_the_interval_where_p_is_five_percent_at_most_and_nowhere_else(seed: int) -> None:
    source = random.Random(seed)
    values = [source.lognormvariate(0, 1) - 1.0 - 0.02 * seed for _ in range(source.randrange(12, 60))]
    found = compare_values(values)[0]

    assert found is not None
    if found.interval is not None:
        low, high = found.interval
        assert (low <= 0 <= high) == (found.p > 0.05)


def test_of_bootstrap_and_t_the_more_cautious_answers() -> None:
    found, alone, t = compare_values(SKEWED)[0], resampled(SKEWED), compare_means(SKEWED)

    assert isinstance(found, Cautious)
    assert isinstance(t, MeanDifference)
    assert found.p == max(alone.p, t.p)
    assert found.interval == (min(alone.interval[0], t.interval[0]), max(alone.interval[1], t.interval[1]))
    assert found.p_at_most(found.interval[0]) == pytest.approx(0.025, abs=0.001)


def test_a_heavy_tail_of_too_many_pairs_to_resample_is_told() -> None:
    values = [0.01 * (number % 7) for number in range(6_000)] + [10_000.0]
    test, note = compare_values(values)

    assert isinstance(test, MeanDifference)
    assert note is not None
    assert "too narrow" in note


def test_where_hardly_any_pairs_differ_nothing_is_shown_and_no_interval_given() -> None:
    found, note = compare_values([0.0] * 46 + [-0.1, -0.2, -0.3, -0.2])

    assert found is not None
    assert found.p > 0.05
    assert found.interval is None
    assert note == "so few pairs differ that no interval can be given"


def test_a_tail_is_heavy_by_how_many_values_there_are() -> None:
    assert heavy_tailed(SKEWED)
    assert not heavy_tailed(NORMAL)
    assert not heavy_tailed([1.0] * 9)
