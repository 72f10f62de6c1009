from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.weightstats import DescrStatsW

from profiler.results.comparing import paired_tests
from profiler.results.comparing.paired_tests import Constant, TrueFalse, compare_clusters, compare_means

SOURCE = random.Random(4)
VALUES = [SOURCE.gauss(0.2, 1.0) for _ in range(57)]


def test_the_paired_t_is_that_of_scipy() -> None:
    found = compare_means(VALUES)
    oracle = stats.ttest_1samp(VALUES, 0.0)

    assert found is not None
    assert found.p == pytest.approx(oracle.pvalue, rel=1e-9)
    assert found.interval == pytest.approx(tuple(oracle.confidence_interval(0.95)), rel=1e-9)


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.0])
def test_equivalence_is_two_one_sided_tests_as_in_statsmodels(margin: float) -> None:
    found = compare_means(VALUES)

    assert found is not None
    assert paired_tests.equivalence(found, margin) == pytest.approx(
        DescrStatsW(np.array(VALUES)).ttost_mean(-margin, margin)[0], rel=1e-9
    )


def test_clusters_are_as_in_statsmodels() -> None:
    clusters = [SOURCE.randrange(9) for _ in VALUES]
    oracle: Any = OLS(VALUES, np.ones(len(VALUES))).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": True}, use_t=True
    )

    found = compare_clusters(VALUES, clusters)

    assert found is not None
    assert found.standard_error == pytest.approx(oracle.bse[0], rel=1e-9)
    assert found.p == pytest.approx(oracle.pvalues[0], rel=1e-9)
    assert found.interval == pytest.approx(tuple(oracle.conf_int()[0]), rel=1e-9)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (7, 1), (12, 30), (600, 700)])
def test_mcnemar_is_that_of_statsmodels(gained: int, lost: int) -> None:
    oracle = mcnemar([[100, lost], [gained, 50]], exact=True)

    assert TrueFalse(150 + gained + lost, gained, lost).p == pytest.approx(oracle.pvalue, rel=1e-9)


def test_the_score_interval_is_the_one_that_was_published() -> None:
    """Airway hyper-responsiveness, in Fagerland, Lydersen and Laake (2017): 1, 1, 7 and 12 of 21 pairs."""
    assert TrueFalse(21, 7, 1).interval == pytest.approx((0.026, 0.517), abs=5e-4)


def score_by_search(n: int, gained: int, lost: int, delta: float) -> float:
    """Tango's statistic from its definition: the likelihood is maximized by search, not by the quadratic."""

    def unlikely(down: float) -> float:
        up, same = down + delta, 1 - 2 * down - delta
        if min(up, down, same) <= 0:
            return 1e9
        return -(gained * math.log(up) + lost * math.log(down) + (n - gained - lost) * math.log(same))

    least, most = max(0.0, -delta), (1 - delta) / 2
    down = optimize.minimize_scalar(unlikely, bounds=(least, most), method="bounded", options={"xatol": 1e-12}).x
    return (gained - lost - n * delta) / math.sqrt(n * (2 * down + delta - delta * delta))


@pytest.mark.parametrize(("n", "gained", "lost"), [(21, 7, 1), (160, 40, 20), (30, 2, 9), (400, 3, 1)])
def test_the_score_interval_ends_where_the_likelihood_says(n: int, gained: int, lost: int) -> None:
    low, high = TrueFalse(n, gained, lost).interval

    assert score_by_search(n, gained, lost, low) == pytest.approx(1.959964, abs=1e-4)
    assert score_by_search(n, gained, lost, high) == pytest.approx(-1.959964, abs=1e-4)


@pytest.mark.parametrize(
    ("n", "gained", "lost"), [(1, 1, 0), (1, 0, 0), (5, 5, 0), (5, 0, 5), (1000, 0, 0), (10**6, 3, 9)]
)
def test_a_score_interval_is_never_beyond_what_can_be_and_never_without_width(n: int, gained: int, lost: int) -> None:
    test = TrueFalse(n, gained, lost)
    low, high = test.interval

    assert -1 <= low <= test.difference <= high <= 1
    assert high > low


def test_the_score_interval_mirrors() -> None:
    low, high = TrueFalse(40, 9, 3).interval

    assert TrueFalse(40, 3, 9).interval == pytest.approx((-high, -low), abs=1e-12)


def test_an_interval_and_its_one_sided_tests_agree() -> None:
    for test in (TrueFalse(80, 12, 5), compare_means(VALUES)):
        assert test is not None
        assert test.interval is not None
        low, high = test.interval
        assert test.p_at_most(low) == pytest.approx(0.025, abs=1e-9)
        assert test.p_at_least(high) == pytest.approx(0.025, abs=1e-9)


def test_one_sided_at_no_difference_is_the_exact_test() -> None:
    test = TrueFalse(500, 0, 5)

    assert test.p_at_least(0.0) == stats.binomtest(0, 5, alternative="less").pvalue
    assert test.p_at_most(0.0) > 0.9


def test_differences_that_are_all_the_same_say_how_likely_a_rarer_kind_was_missed_and_have_no_interval() -> None:
    found = compare_means([0.5] * 10)

    assert isinstance(found, Constant)
    assert found.p == pytest.approx(0.9**10)
    assert (found.interval, found.difference) == (None, 0.5)
    assert compare_means([0.0] * 10) == Constant(10, 0.0)
    assert Constant(10, 0.0).p == 1.0


def test_one_pair_or_one_cluster_says_nothing() -> None:
    assert compare_means([1.0]) is None
    assert compare_clusters([1.0, 2.0], [3, 3]) is None


def test_what_could_have_been_seen_is_seen_in_four_of_five_cases() -> None:
    source = np.random.default_rng(3)
    seen = paired_tests.smallest_seen(TrueFalse(400, 40, 40))
    assert seen is not None

    drawn = source.multinomial(400, [0.1 + seen / 2, 0.1 - seen / 2, 0.8], size=2000)
    shown = sum(TrueFalse(400, int(up), int(down)).interval[0] > 0 for up, down, _ in drawn) / 2000
    assert shown == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("family", [1, 12])
def test_what_could_have_been_seen_is_so_where_many_comparisons_are_made_too(family: int) -> None:
    source = np.random.default_rng(3)
    like_this = compare_means(source.normal(0, 1, 100).tolist())
    assert like_this is not None
    seen = paired_tests.smallest_seen(like_this, family=family)
    assert seen is not None

    drawn = source.normal(seen, 1, (2000, 100))
    ps = stats.ttest_1samp(drawn, 0, axis=1).pvalue
    shown = sum(ps <= 0.05 / family) / 2000  # Bonferroni's: what Holm asks of the smallest p

    assert shown == pytest.approx(0.8, abs=0.1)


def test_the_pairs_needed_are_so_many_that_the_difference_is_the_smallest_seen() -> None:
    test = TrueFalse(100, 12, 8)
    needed = paired_tests.pairs_needed(test, test.difference)

    assert needed is not None
    scale = needed / 100
    assert paired_tests.smallest_seen(TrueFalse(needed, round(12 * scale), round(8 * scale))) == pytest.approx(
        test.difference, rel=0.05
    )
    assert paired_tests.pairs_needed(test, 0.0) is None
