from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.metrics.histogram import Histogram

values = st.lists(st.floats(0, 1e6), max_size=60)


def histogram(numbers: list[float]) -> Histogram:
    made = Histogram()
    made.update(numbers)
    return made


@given(values)
def test_a_quantile_is_within_half_a_percent_of_the_true_one(numbers: list[float]) -> None:
    made = histogram(numbers)
    for q in (0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 1.0):
        found = made.quantile(q)
        if not numbers:
            assert found is None
            continue
        true = sorted(numbers)[max(0, math.ceil(q * len(numbers) - 1e-9) - 1)]
        assert found == pytest.approx(true, rel=0.005, abs=0)


@given(values.filter(bool))
def test_the_ends_of_a_histogram_are_exact(numbers: list[float]) -> None:
    assert histogram(numbers).quantile(1) == max(numbers)
    assert histogram(numbers).quantile(0) == min(numbers)


@given(values, values, st.randoms())
def test_neither_order_nor_shards_change_a_histogram(
    left: list[float], right: list[float], source: random.Random
) -> None:
    shuffled = left + right
    source.shuffle(shuffled)
    one, two = histogram(left), histogram(shuffled)
    one.merge(histogram(right))
    assert (one.n, one.mean) == (two.n, two.mean)
    assert [one.quantile(q / 20) for q in range(21)] == [two.quantile(q / 20) for q in range(21)]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1.0, -math.inf, 1e13])
def test_a_number_that_cannot_be_is_refused_and_adds_nothing(wrong: float) -> None:
    made = Histogram()
    with pytest.raises(ValueError, match="is expected, found"):
        made.update([0.0, 1.0, wrong])
    assert (made.n, made.mean) == (0, None)
