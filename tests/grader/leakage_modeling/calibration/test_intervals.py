from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from grader.leakage_modeling.calibration.intervals import (
    FEW_SEEDS,
    Interval,
    Tally,
    clopper_pearson,
    design_effect,
    effective,
    pass_all_k,
    pass_at_k,
    posterior_within,
    wilson,
)

tallies = st.integers(1, 300).flatmap(lambda n: st.builds(Tally, st.integers(0, n), st.just(n)))
confidences = st.sampled_from([0.8, 0.9, 0.95, 0.99])


@given(tallies, confidences)
def test_wilson_is_scipys(tally: Tally, confidence: float) -> None:
    theirs = stats.binomtest(int(tally.passed), int(tally.episodes)).proportion_ci(confidence, method="wilson")

    assert wilson(tally, confidence=confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(tallies, confidences)
def test_clopper_pearson_is_scipys(tally: Tally, confidence: float) -> None:
    theirs = stats.binomtest(int(tally.passed), int(tally.episodes)).proportion_ci(confidence, method="exact")

    assert clopper_pearson(tally, confidence=confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(tallies)
def test_the_posterior_is_the_beta_distributions(tally: Tally) -> None:
    beta = stats.beta(tally.passed + 1, tally.episodes - tally.passed + 1)

    assert posterior_within(tally, Interval(0.1, 0.4)) == pytest.approx(beta.cdf(0.4) - beta.cdf(0.1), abs=1e-9)


def test_no_episode_says_nothing() -> None:
    assert wilson(Tally(0, 0)) == clopper_pearson(Tally(0, 0)) == (0.0, 1.0)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_counts_the_choices(drawn: tuple[int, int, int]) -> None:
    n, passed, k = drawn
    choices = list(combinations([True] * passed + [False] * (n - passed), k))

    assert pass_at_k(passed=passed, episodes=n, k=k) == pytest.approx(sum(map(any, choices)) / len(choices))
    assert pass_all_k(passed=passed, episodes=n, k=k) == pytest.approx(sum(map(all, choices)) / len(choices))


def test_pass_at_more_than_there_are_is_unknown() -> None:
    assert pass_at_k(passed=3, episodes=3, k=4) is None
    assert pass_all_k(passed=3, episodes=3, k=4) is None


def test_seeds_used_once_are_worth_their_number() -> None:
    clusters = [Tally(i % 2, 1) for i in range(40)]

    assert design_effect(clusters) == 1
    assert effective(clusters) == (20, 40)


def test_seeds_that_decide_alone_are_worth_one_episode_each() -> None:
    clusters = [Tally(5 * (i % 2), 5) for i in range(40)]

    assert effective(clusters).episodes == pytest.approx(40)


def test_seeds_that_do_not_matter_cost_nothing() -> None:
    clusters = [Tally(2, 4)] * 40

    assert effective(clusters) == (80, 160)


def test_few_seeds_count_as_one_episode_each() -> None:
    clusters = [Tally(2, 4)] * (FEW_SEEDS - 1)

    assert effective(clusters).episodes == FEW_SEEDS - 1


def test_episodes_that_all_end_alike_count_their_seeds_only() -> None:
    assert effective([Tally(0, 4)] * 50).episodes == 50


@given(
    st.lists(
        st.integers(1, 6).flatmap(lambda n: st.builds(Tally, st.integers(0, n), st.just(n))), min_size=1, max_size=60
    )
)
def test_sharing_a_seed_never_adds_episodes_nor_moves_the_rate(clusters: list[Tally]) -> None:
    passed, n = sum(cluster.passed for cluster in clusters), sum(cluster.episodes for cluster in clusters)
    tally = effective(clusters)

    assert 0 < tally.episodes <= n + 1e-9
    assert math.isclose(tally.passed / tally.episodes, passed / n, abs_tol=1e-9)
