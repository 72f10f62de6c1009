from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.nouns import Outcome
from profiler.metrics import metric as metrics
from profiler.metrics.metric import Estimate
from profiler.metrics.reduction import reduce_outcomes


def outcome(kind: str = "answer", completion: str | None = "", *facts: str, **rest: object) -> Outcome:
    return Outcome(dialogue_id="d", type=kind, completion=completion, required_facts=facts, **rest)  # type: ignore[arg-type]


SAMPLE = (
    outcome("answer", "Paris is in FRANCE", "paris", "France"),
    outcome("answer", "one two", "one", "two", "three"),
    outcome("refusal", "I can't help with that."),
)


def test_own_metrics_are_made_of_one_function() -> None:
    long = metrics.rate("long", lambda seen: None if seen.completion is None else len(seen.completion) > 3)
    length = metrics.mean("length", lambda seen: len(seen.completion or ""))
    letters = metrics.total("letters", lambda seen: len(seen.completion) / 2 if seen.completion else None)
    found = reduce_outcomes(
        [outcome("answer", text) for text in ("ab", "abcd", None)], [long, length, letters]
    ).estimates()
    assert (found["long"].value, found["long"].n) == (0.5, 2)
    assert (found["length"].value, found["length"].n) == (2.0, 3)
    assert found["letters"] == Estimate(3.0, 2, None)


@pytest.mark.parametrize("make", [metrics.rate, metrics.mean, metrics.total])
def test_a_metric_without_contributions_has_no_value(make: object) -> None:
    metric = make("none", lambda _: None)  # type: ignore[operator]
    assert reduce_outcomes(SAMPLE, [metric]).estimates()["none"] == Estimate(None, 0, None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.5, 1.5])
def test_a_value_out_of_bounds_is_a_bug_that_names_its_dialogue(value: float) -> None:
    (fault,) = reduce_outcomes(SAMPLE, [metrics.mean("m", lambda _: value, lower=0, upper=1)]).faults
    assert fault.said.startswith("ValueError: ")
    assert fault.reason.startswith(f"at dialogue 'd': ValueError: metric 'm': {value!r} is")


@given(st.lists(st.floats(-1e300, 1e300), max_size=20), st.randoms())
def test_sums_do_not_depend_on_the_order(numbers: list[float], source: random.Random) -> None:
    metric = metrics.mean("latency", lambda seen: seen.latency_s)
    outcomes = [Outcome(dialogue_id="d", type="error", latency_s=number) for number in numbers]
    before = reduce_outcomes(outcomes, [metric]).estimates()
    source.shuffle(outcomes)
    assert reduce_outcomes(outcomes, [metric]).estimates() == before


@pytest.mark.parametrize("name", ["counts", "run", "", "a b", "x" * 65, "é", "[red]"])
def test_a_name_that_would_spoil_the_summary_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a metric"):
        metrics.rate(name, lambda _: True)
