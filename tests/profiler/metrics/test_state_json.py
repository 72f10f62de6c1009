"""What processes pass on to each other merges to the same summary, to the byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.errors import UsageError
from profiler.core.nouns import Outcome
from profiler.metrics import metric, state_json, summary
from profiler.metrics.metric import NO_DATA, Estimate, Metric
from profiler.metrics.reduction import Reduction, reduce_outcomes
from tests.profiler.metrics.test_reduction import ALL, failing, outcome_lists


def shown(reduction: Reduction) -> bytes:
    return json.dumps(summary.build(reduction, {}), indent=1).encode()


def passed_on(reduction: Reduction) -> Reduction:
    return state_json.load(state_json.dump(reduction), reduction.metrics)


@settings(max_examples=40)  # each draws many outcomes
@given(st.lists(outcome_lists, min_size=1, max_size=4))
def test_parts_that_were_passed_on_merge_to_what_one_process_counts(parts: list[list[Outcome]]) -> None:
    metrics = [*ALL, failing("contribute"), metric.total("huge", lambda outcome: outcome.latency_s)]
    whole = reduce_outcomes([outcome for part in parts for outcome in part], metrics)
    merged = Reduction(metrics)
    for part in parts:
        merged.merge(passed_on(reduce_outcomes(part, metrics)))
        merged = passed_on(merged)
    assert shown(merged) == shown(whole)
    assert [str(fault) for fault in merged.faults] == [str(fault) for fault in whole.faults]


def keeping(state: Any) -> Metric[Any]:
    return Metric(
        name="own",
        contribute=lambda _: state,
        merge=lambda ours, _: ours,
        finish=lambda found: NO_DATA if found is None else Estimate(float(found == state), 1),
    )


@pytest.mark.parametrize(
    "state",
    [
        (2**64, -(2**200), 0),
        (1, (2, [3, (4,)], {"list": [1], "dict": {"a": (0.1, 1e300)}}), "é\ud800", None, True),
        {"a": [1, 2], "b": {}},
        [],
        0.1 + 0.2,
    ],
)
def test_states_come_back_as_they_were(state: Any) -> None:
    own = keeping(state)
    state_json.refuse_unspeakable([own])
    found = passed_on(reduce_outcomes([Outcome("d", "answer")], [own]))
    assert found.content().all.states == (state,)
    assert repr(found.content().all.states) == repr((state,))
    assert found.estimates()["own"].value == 1.0


@pytest.mark.parametrize(
    ("state", "told"), [({1, 2}, "a set"), ((1, {2: 3}), "a dict with the key 2"), (1j, "complex")]
)
def test_a_state_that_cannot_be_passed_on_is_refused_before_anything_is_asked(state: Any, told: str) -> None:
    with pytest.raises(UsageError, match=f"metric 'own' keeps .*{told}"):
        state_json.refuse_unspeakable([*ALL, keeping(state)])


def test_a_metric_that_fails_is_left_to_the_run() -> None:
    state_json.refuse_unspeakable([failing("contribute"), failing("merge")])


def test_what_was_counted_of_other_metrics_or_in_another_form_is_refused() -> None:
    counted = state_json.dump(reduce_outcomes([], ALL))
    for content, metrics in ((counted, ALL[:1]), (counted.replace(b'"format":1', b'"format":9'), ALL), (b"[]", ALL)):
        with pytest.raises(ValueError, match="in format 1"):
            state_json.load(content, metrics)
