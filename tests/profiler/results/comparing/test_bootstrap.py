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

    assert first is not None
    assert second is not None
    assert (first.interval, first.p) == (second.interval, second.p)


def test_it_is_the_studentized_bootstrap_that_numpy_makes() -> None:
    found = resampled(SKEWED)
    low, high, p = simulation.resampled(np.array(SKEWED), np.random.default_rng(0), resamples=40_000)

    assert found is not None
    assert found.interval == pytest.approx((low, high), abs=0.04)
    assert found.p == pytest.approx(p, abs=0.02)


def test_its_interval_leans_to_the_side_of_the_tail() -> None:
    found = resampled(SKEWED)

    assert found is not None
    low, high = found.interval
    assert high - found.difference > 1.2 * (found.difference - low)


def test_interval_and_p_agree() -> None:
    found = resampled(SKEWED)

    assert found is not None
    low, high = found.interval
    assert found.p_at_most(low) == pytest.approx(0.025, abs=0.001)
    assert found.p_at_least(high) == pytest.approx(0.025, abs=0.001)


def test_it_is_taken_where_pairs_are_few_or_the_tail_is_heavy() -> None:
    assert isinstance(compare_values(SKEWED)[0], Cautious)
    assert isinstance(compare_values(NORMAL[:20])[0], Cautious)
    assert isinstance(compare_values(NORMAL)[0], MeanDifference)
    assert isinstance(compare_values(NORMAL[:5])[0], MeanDifference)


def test_of_bootstrap_and_t_the_more_cautious_answers() -> None:
    found, alone, t = compare_values(SKEWED)[0], resampled(SKEWED), compare_means(SKEWED)

    assert isinstance(found, Cautious)
    assert alone is not None
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


def test_values_of_which_hardly_any_differ_are_not_resampled() -> None:
    values = [0.0] * 40 + [1.0]

    assert resampled(values) is None
    assert isinstance(compare_values(values)[0], MeanDifference)


def test_a_tail_is_heavy_by_how_many_values_there_are() -> None:
    assert heavy_tailed(SKEWED)
    assert not heavy_tailed(NORMAL)
    assert not heavy_tailed([1.0] * 9)
