"""What was measured, as metrics: their scores, their units, and which way is better."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from profiler.core.nouns import Outcome
from profiler.manifest.measured import Slo
from profiler.metrics.builtin import resolve
from profiler.metrics.measured import goodput
from profiler.metrics.reduction import reduce_outcomes

KINDS = ("latency_s", "ttft_s", "output_tokens", "cost_usd", "tokens_per_s")
QUICK = Outcome(
    dialogue_id="d",
    type="answer",
    latency_s=2.0,
    ttft_s=0.5,
    gap_p95_s=0.1,
    tokens_per_s=40.0,
    cost_usd=0.25,
    usage={"output_tokens": 30},
)
FAILED = Outcome(dialogue_id="e", type="error", latency_s=9.0, cost_usd=0.5)
UNKNOWN = Outcome(dialogue_id="f", type="refusal")


def scores(metric: Any) -> list[Any]:
    (made,) = resolve([metric])
    assert made.score is not None
    return [made.score(outcome) for outcome in (QUICK, FAILED, UNKNOWN)]


@pytest.mark.parametrize(("kind", "value"), [*zip(KINDS, (2.0, 0.5, 30, 0.25, 40.0), strict=True)])
def test_an_answer_scores_what_was_measured_of_it_and_a_failure_nothing(kind: str, value: float) -> None:
    assert scores(kind) == scores({"name": "mine", kind: {}}) == [value, None, None]


def test_an_answer_that_was_taken_over_was_not_waited_for_and_costs_what_it_once_did() -> None:
    reused = msgspec.structs.replace(QUICK, cost_usd=0.0, reused_from="before", reused_cost_usd=0.75)
    of = [metric.score for metric in resolve([*KINDS, {"goodput": {"latency_s": 6}}])]

    assert [score and score(reused) for score in of] == [None, None, 30, 0.75, None, None]


def test_each_says_its_unit_and_which_way_is_better() -> None:
    assert [(metric.unit, metric.better) for metric in resolve(KINDS)] == [
        ("s", "lower"),
        ("s", "lower"),
        ("tokens", None),
        ("USD", "lower"),
        ("tokens/s", "higher"),
    ]


def test_the_value_is_the_mean_over_answers() -> None:
    estimate = reduce_outcomes([QUICK, FAILED, UNKNOWN], resolve(["latency_s"])).estimates()["latency_s"]

    assert (estimate.value, estimate.n) == (2.0, 1)


@pytest.mark.parametrize(
    ("limits", "good"),
    [
        ({"latency_s": 2.0, "ttft_s": 0.5, "gap_p95_s": 0.1, "tokens_per_s": 40.0}, True),
        ({"latency_s": 1.9}, False),
        ({"ttft_s": 0.4}, False),
        ({"gap_p95_s": 0.09}, False),
        ({"tokens_per_s": 41.0}, False),
        ({"latency_s": 2.0, "ttft_s": 0.4}, False),
    ],
)
def test_an_answer_within_all_limits_is_good(limits: dict[str, float], good: bool) -> None:
    assert scores({"goodput": limits}) == [good, False, None]


def test_an_answer_that_misses_one_limit_is_not_good_whatever_the_others_are() -> None:
    score = goodput("goodput", Slo(latency_s=1.0, ttft_s=1.0)).score

    assert score is not None
    assert score(Outcome(dialogue_id="d", type="answer", latency_s=2.0)) is False
    assert score(Outcome(dialogue_id="d", type="answer", latency_s=0.5)) is None


def test_goodput_is_a_share_with_an_interval_in_which_failures_are_misses() -> None:
    estimate = reduce_outcomes([QUICK] * 8 + [FAILED] * 2, resolve([{"goodput": {"latency_s": 6}}])).estimates()

    assert (estimate["goodput"].value, estimate["goodput"].n) == (0.8, 10)
    assert estimate["goodput"].ci95 == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson's, as published for 8 of 10
