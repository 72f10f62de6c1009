from __future__ import annotations

import random

import numpy as np
import pytest
from scipy import stats

from profiler.results.comparing import bootstrap
from profiler.results.comparing.bootstrap import Both, compare_values, heavy_tailed, resampled
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
    drawn = np.random.default_rng(0).choice(np.array(SKEWED) - np.mean(SKEWED), size=(40_000, len(SKEWED) - 7))
    skewness = stats.skew(drawn, axis=1)
    ratios = drawn.mean(axis=1) / stats.sem(drawn, axis=1)
    hall = (
        ratios + skewness * ratios**2 / (3 * 53**0.5) + skewness**2 * ratios**3 / (27 * 53) + skewness / (6 * 53**0.5)
    )

    assert np.quantile(found.ratios, [0.025, 0.5, 0.975]) == pytest.approx(
        np.quantile(hall, [0.025, 0.5, 0.975]), abs=0.1
    )


@pytest.mark.parametrize("n", [30, 60])
@pytest.mark.parametrize("shape", simulation.SHAPES)
def test_the_simulation_asks_the_same_as_we_do_of_every_sample(shape: str, n: int) -> None:
    """Many samples at once, with numpy; ours takes one."""
    values = simulation.SHAPES[shape](np.random.default_rng(5), (n, 4))
    ps, asked = simulation.p_of(values)

    ours = [compare_values(column.tolist())[0] for column in values.T]

    assert [isinstance(test, Both) for test in ours] == asked.tolist()
    assert [test.p for test in ours if test is not None] == pytest.approx(ps.tolist(), rel=1e-9)


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
    assert isinstance(compare_values(SKEWED)[0], Both)
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


def test_bootstrap_and_t_together_say_nothing_that_both_deny() -> None:
    found, alone, t = compare_values(SKEWED)[0], resampled(SKEWED), compare_means(SKEWED)

    assert isinstance(found, Both)
    assert isinstance(t, MeanDifference)
    assert found.interval is not None
    for end in (0, 1):
        low, high = sorted((alone.interval[end], t.interval[end]))
        assert low <= found.interval[end] <= high
    assert found.p_at_most(found.interval[0]) == pytest.approx(0.025, abs=0.001)
    assert found.p_at_least(found.interval[1]) == pytest.approx(0.025, abs=0.001)


def test_more_resamples_are_drawn_where_a_smaller_p_would_tell_more() -> None:
    far = [5.0 + each for each in SKEWED]
    alone, of_many = compare_values(far)[0], compare_values(far, family=250)[0]
    unclear = compare_values(SKEWED, family=250)[0]

    assert isinstance(alone, Both)
    assert isinstance(of_many, Both)
    assert isinstance(unclear, Both)
    assert 250 * alone.p > 0.05 > 250 * of_many.p
    assert len(unclear.bootstrap.ratios) == len(alone.bootstrap.ratios) < len(of_many.bootstrap.ratios)


def test_where_resampling_cannot_show_so_small_a_p_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "MOST_DRAWS", 60_000)
    test, note = compare_values([5.0 + each for each in SKEWED], family=1_000)

    assert test is not None
    assert note is not None
    assert "resampling shows no p below" in note
    assert "1,000 comparisons" in note


def test_of_few_pairs_that_all_differ_by_the_same_nothing_is_claimed() -> None:
    """Where one pair in ten differs otherwise, one sample of 20 in eight has none of them."""
    few, note = compare_values([-0.1] * 20)
    many, _ = compare_values([-0.1] * 40)

    assert few is not None
    assert many is not None
    assert few.p > 0.05 > many.p
    assert note is not None
    assert "all pairs differ by the same" in note


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
