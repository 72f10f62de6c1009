from __future__ import annotations

from typing import Any

import msgspec
import pytest

from profiler.core.nouns import Failure, Outcome
from profiler.manifest.measured import STREAMED
from profiler.manifest.settings import Bounds
from profiler.manifest.threshold_names import MEASURED
from profiler.metrics import metric, summary
from profiler.metrics.builtin import BUILTIN, resolve
from profiler.metrics.reduction import reduce_outcomes

RUN = {"experiment_id": "demo_run", "mode": "mock"}
OUTCOMES = (
    Outcome(
        dialogue_id="a", type="answer", completion="Paris", required_facts=("paris",), tags=("z", "b"), latency_s=0.5
    ),
    Outcome(dialogue_id="b", type="answer", completion="x y", required_facts=("x", "y", "z"), cost_usd=0.1, attempts=2),
    Outcome(dialogue_id="c", type="refusal", completion="No.", usage={"input_tokens": 7, "output_tokens": 3}),
)
FAILED = Outcome(dialogue_id="e", type="error", error=Failure(type="timeout", message=""))


def built(*outcomes: Outcome) -> dict[str, Any]:
    return summary.build(reduce_outcomes(outcomes, tuple(BUILTIN.values())), RUN)


def test_the_headline_numbers_come_first_and_are_rounded_to_4_places() -> None:
    found = built(*OUTCOMES)
    assert list(found)[:5] == list(BUILTIN)
    assert (found["fact_coverage"], found["refusal_rate"], found["geometric_mean"]) == (0.8889, 0.3333, 0.7698)
    assert found["metrics"]["fact_coverage"]["value"] == 0.888889


def test_every_part_says_what_it_counts() -> None:
    found = built(*OUTCOMES, FAILED)
    assert found["counts"] == {
        "total": 4, "answered": 3, "answer": 2, "refusal": 1, "truncated": 0, "error": 1, "errors": {"timeout": 1},
    }  # fmt: skip
    assert (found["cost_usd"], found["cost"]) == (0.1, {"known": 1, "unknown": 3})
    assert (found["tokens"]["input"], found["tokens"]["n"]) == (7, 1)
    assert found["attempts"] == {"total": 2, "retried": 1, "n": 1}
    assert (found["latency_s"]["p99"], found["latency_s"]["n"]) == (0.5, 1)
    assert list(found["by_tag"]) == ["b", "z"]
    assert found["by_tag"]["b"]["fact_coverage"] == {"value": 1.0, "n": 1, "ci95": [0.0, 1.0]}
    assert found["run"] == RUN


def test_no_data_is_null() -> None:
    found = built()
    assert [found[name] for name in BUILTIN] == [None] * 5
    assert found["metrics"]["fact_coverage"] == {"value": None, "n": 0, "ci95": None}
    assert (found["latency_s"]["p50"], found["cost_usd"], found["tokens"]["input"]) == (None, None, None)


def test_tags_beyond_the_limit_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.metrics.reduction.TAG_LIMIT", 1)
    found = built(*OUTCOMES)
    assert list(found["by_tag"]) == ["b"]
    assert found["by_tag_other"]["n"] == 1
    assert set(found) - set(BUILTIN) == metric.RESERVED - {"n", "note", "thresholds", "time_s", "reused", *STREAMED}


@pytest.mark.parametrize(
    ("thresholds", "sentences"),
    [
        ({"fact_coverage": Bounds(min=0.8889)}, []),
        ({"fact_coverage": Bounds(min=0.9)}, ["fact_coverage is 0.8889, below the minimum of 0.9"]),
        ({"refusal_rate": Bounds(max=0.2)}, ["refusal_rate is 0.3333, above the maximum of 0.2"]),
        ({"refusal_rate": Bounds(min=0.3, max=0.4)}, []),
        ({"latency_s.p95": Bounds(max=0.1)}, ["latency_s.p95 is 0.5, above the maximum of 0.1"]),
        ({"nothing": Bounds(min=0.1)}, ["nothing has no value, so it cannot meet its threshold"]),
        ({"queue_s.p95": Bounds(max=1)}, ["queue_s.p95 has no value, so it cannot meet its threshold"]),
        ({"run.mode": Bounds(min=1)}, ["run.mode has no value, so it cannot meet its threshold"]),
        ({"error_rate": Bounds(max=0.0)}, []),
        ({"cost_usd": Bounds(max=0.05)}, ["cost_usd is 0.1, above the maximum of 0.05"]),
        ({"tokens.output": Bounds(max=2)}, ["tokens.output is 3, above the maximum of 2"]),
        (
            {"refusal_as_expected.over_refusal": Bounds(max=0.5)},
            ["refusal_as_expected.over_refusal has no value, so it cannot meet its threshold"],
        ),
    ],
)
def test_each_threshold_that_is_not_met_is_a_sentence(thresholds: dict[str, Bounds], sentences: list[str]) -> None:
    found = summary.judged(built(*OUTCOMES), thresholds)
    assert summary.missed(found) == sentences
    assert [name for name, verdict in found["thresholds"].items() if not verdict["met"]] == list(thresholds)[
        : len(sentences)
    ]
    assert summary.judged(found, summary.bounds_of(found)) == found


def test_without_thresholds_there_is_no_verdict() -> None:
    assert summary.judged(built(), {}) == built()
    assert summary.missed(built()) == []


def test_the_share_of_errors_and_the_parts_of_a_metric_are_judged() -> None:
    over = Outcome(dialogue_id="r", type="refusal", completion="No.", expect_refusal=False)
    bounds = {"error_rate": Bounds(max=0.1), "refusal_as_expected.over_refusal": Bounds(max=0.1)}
    found = summary.judged(built(over, FAILED), bounds)["thresholds"]
    assert found["error_rate"] == {"value": 0.5, "min": None, "max": 0.1, "met": False}
    assert found["refusal_as_expected.over_refusal"]["value"] == 1.0


def test_every_number_that_a_threshold_may_name_is_in_a_summary() -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "output_tokens_details": {"thinking_tokens": 1}}
    usage |= {"cache_creation_input_tokens": 1, "cache_read_input_tokens": 1}
    one = Outcome(dialogue_id="a", type="answer", completion="x", usage=usage, latency_s=1.0, queue_s=1.0, cost_usd=1.0)
    one = msgspec.structs.replace(one, **dict.fromkeys(STREAMED, 1.0))
    found = summary.judged(built(one), {name: Bounds(min=0) for name in MEASURED})["thresholds"]
    assert all(verdict["met"] for verdict in found.values())


def test_a_metric_without_data_fails_its_threshold() -> None:
    assert summary.missed(summary.judged(built(), {"fact_coverage": Bounds(min=0.0)})) == [
        "fact_coverage has no value, so it cannot meet its threshold"
    ]


LIVE = [
    Outcome(dialogue_id=f"d{i}", type="answer", latency_s=2.0 + i / 10, queue_s=1.0, held_s=0.25, between_s=0.5)
    for i in range(10)
]


def told(outcomes: list[Outcome], *, mode: str = "live", metrics: tuple[str, ...] = ()) -> dict[str, Any]:
    return summary.build(reduce_outcomes(outcomes, resolve(metrics)), {"mode": mode})


def test_percentiles_of_a_live_run_have_intervals_open_where_so_few_values_cannot_tell() -> None:
    ci95 = told(LIVE)["latency_s"]["ci95"]

    assert [ci95["p50"], ci95["p99"]] == [
        [pytest.approx(2.1, rel=0.005), pytest.approx(2.8, rel=0.005)],  # ranks 2 and 9 of 10
        [pytest.approx(2.8, rel=0.005), None],
    ]


def test_where_the_time_of_a_live_run_went_adds_up() -> None:
    spent = told(LIVE)["time_s"]

    assert spent == {"in_line": 2.5, "held_by_limits": 2.5, "at_provider": 24.5, "between_tries": 5.0}


def test_simulated_times_have_neither() -> None:
    found = told(LIVE, mode="mock")

    assert "time_s" not in found
    assert "ci95" not in found["latency_s"]


def test_what_streams_measure_is_told_only_where_there_were_streams() -> None:
    streamed = [msgspec.structs.replace(outcome, ttft_s=0.5, tokens_per_s=40.0) for outcome in LIVE]

    assert set(STREAMED) & told(LIVE).keys() == set()
    assert told(streamed)["ttft_s"]["p95"] == 0.5
    assert told(streamed)["tokens_per_s"]["n"] == 10


def test_a_measured_metric_and_the_percentiles_of_its_name_stand_side_by_side() -> None:
    found = told(LIVE, metrics=("latency_s", "cost_usd"))
    bounds = {name: Bounds(max=2.5) for name in ("latency_s", "latency_s.max", "cost_usd")}
    verdicts = summary.judged(found, bounds)["thresholds"]

    assert (found["metrics"]["latency_s"]["value"], found["metrics"]["latency_s"]["unit"]) == (2.45, "s")
    assert {name: verdict["value"] for name, verdict in verdicts.items()} == {
        "latency_s": 2.45,
        "latency_s.max": 2.9,
        "cost_usd": None,
    }
