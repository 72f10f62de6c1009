"""Percentiles of what was measured, and their intervals, with one answer a dialogue and with several."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from profiler.metrics.percentiles import Percentiles
from profiler.metrics.resamples import RESAMPLES, drawn

SOME = [1.0 + number / 100 for number in range(400)]


def of(values: list[float], *, times: int | None = None) -> Percentiles:
    """With `times`, each value belongs to a dialogue that gave it so often."""
    made = Percentiles()
    made.add(values * (times or 1))
    if times is not None:
        made.add_by_dialogue((f"d{number}", value) for number, value in enumerate(values) for _ in range(times))
    return made


def test_an_interval_has_the_values_of_its_ranks() -> None:
    low, high = of(SOME).interval(0.5)

    assert low == pytest.approx(SOME[179], rel=0.005)  # ranks 181 and 221 of 400, by the binomial
    assert high == pytest.approx(SOME[220], rel=0.005)


def test_an_end_that_too_few_values_cannot_tell_is_open() -> None:
    low, high = of(SOME[:100]).interval(0.99)

    assert low is not None
    assert high is None
    assert of([]).interval(0.5) == (None, None)
    assert of([1.0, 2.0]).interval(0.5) == (None, None)


def test_one_answer_copied_gives_the_interval_of_one_answer() -> None:
    for q in (0.5, 0.9, 0.95, 0.99):
        assert of(SOME, times=5).interval(q) == of(SOME, times=1).interval(q)


def test_of_independent_answers_the_bootstrap_says_what_order_statistics_say() -> None:
    for q in (0.5, 0.9, 0.95):
        for ours, theirs in zip(of(SOME, times=1).interval(q), of(SOME).interval(q), strict=True):
            assert ours == pytest.approx(theirs, rel=0.02)


def test_few_dialogues_leave_an_end_open_however_many_answers_they_have() -> None:
    assert of(SOME[:100], times=10).interval(0.99)[1] is None


@given(
    values=st.lists(st.floats(0, 1e6), max_size=30),
    cut=st.integers(0, 90),
    source=st.randoms(use_true_random=False),
)
def test_neither_order_nor_shards_change_an_interval(values: list[float], cut: int, source: random.Random) -> None:
    pairs = [(f"d{number}", value) for number, value in enumerate(values) for _ in range(3)]
    halves = []
    for part in (pairs[:cut], pairs[cut:]):
        half = Percentiles()
        half.add([value for _, value in part])
        half.add_by_dialogue(part)
        halves.append(half)
    written = [json.loads(json.dumps(half.as_json())) for half in halves]
    halves = [Percentiles.from_json(each) for each in written]  # as another process passes them on
    halves[0].merge(halves[1])
    by_dialogue = [pairs[at : at + 3] for at in range(0, len(pairs), 3)]
    source.shuffle(by_dialogue)
    shuffled = Percentiles()
    shuffled.add([value for each in by_dialogue for _, value in each])
    shuffled.add_by_dialogue(pair for each in by_dialogue for pair in each)

    for q in (0.5, 0.95):
        assert halves[0].interval(q) == of(values, times=3).interval(q) == shuffled.interval(q)


def test_a_dialogue_is_in_half_of_the_resamples_and_always_in_the_same() -> None:
    counts = [drawn(f"d{number}").bit_count() for number in range(400)]

    assert drawn("d7") == drawn("d7") != drawn("d8")
    mean = sum(counts) / len(counts)
    assert abs(mean - RESAMPLES / 2) < norm.ppf(0.99999) * (RESAMPLES / 4 / len(counts)) ** 0.5
    assert drawn("\ud800")  # whatever an id may be


DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
EXAMPLE = re.compile(r"^\| 1, 2, … (\d+) \| p(\d+) is (\d+) \| (\d+) \.\. (\d+|≥ the largest of \d+) \|$", re.MULTILINE)


def test_the_examples_of_the_document_are_true() -> None:
    found = EXAMPLE.findall(DOCUMENT.read_text())

    assert len(found) == 4
    for n, percentile, value, low, high in found:
        made, q = of([float(number) for number in range(1, int(n) + 1)]), int(percentile) / 100
        upper = None if high == f"≥ the largest of {n}" else pytest.approx(int(high), rel=0.005)
        assert made.histogram.quantile(q) == pytest.approx(int(value), rel=0.005)
        assert list(made.interval(q)) == [pytest.approx(int(low), rel=0.005), upper]
