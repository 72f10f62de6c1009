from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from profiler.metrics.order_statistics import TAIL, enclosing_ranks


@settings(max_examples=60)
@given(n=st.integers(1, 2_000) | st.sampled_from([10_000, 1_000_000]), q=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_ranks_are_the_nearest_that_enclose_a_percentile(n: int, q: float) -> None:
    low, high = enclosing_ranks(n, q)

    # at most 2.5 % that fewer than `low` values lie below, and one rank further in it would be more
    assert low is None or binom.cdf(low - 1, n, q) <= TAIL < binom.cdf(low, n, q)
    assert low is not None or binom.cdf(0, n, q) > TAIL
    assert high is None or binom.cdf(high - 2, n, q) < 1 - TAIL <= binom.cdf(high - 1, n, q)
    assert high is not None or binom.cdf(n - 1, n, q) < 1 - TAIL


@pytest.mark.parametrize(("q", "enough"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)])
def test_the_largest_of_too_few_values_is_no_upper_end(q: float, enough: int) -> None:
    assert enclosing_ranks(enough, q)[1] is not None
    assert enclosing_ranks(enough - 1, q)[1] is None


@pytest.mark.parametrize(("n", "q"), [(0, 0.5), (10, 0.0), (10, 1.0)])
def test_where_there_is_nothing_to_enclose_there_are_no_ranks(n: int, q: float) -> None:
    assert enclosing_ranks(n, q) == (None, None)
