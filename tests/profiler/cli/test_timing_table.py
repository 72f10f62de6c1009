from __future__ import annotations

import io
from typing import Any

import pytest

from profiler.cli import summary_table
from profiler.core.nouns import Outcome
from profiler.metrics import summary
from profiler.metrics.reduction import reduce_outcomes


def drawn(outcomes: list[Outcome], *, mode: str, encoding: str = "utf-8") -> str:
    found = summary.build(reduce_outcomes(outcomes, ()), {"experiment_id": "e", "mode": mode})
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    summary_table.render([found], file=file)
    file.flush()
    return raw.getvalue().decode(encoding)


def answers(count: int, **times: Any) -> list[Outcome]:
    return [
        Outcome(dialogue_id=f"d{i}", type="answer", latency_s=1 + i / 100, queue_s=0.5, **times) for i in range(count)
    ]


def rows(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_percentiles_have_intervals_and_say_which_end_is_beyond_all_values() -> None:
    text = rows(drawn(answers(100, ttft_s=0.5), mode="live"))

    (p50,) = [line for line in text if line.startswith("latency_s (100) p50")]
    (p99,) = [line for line in text if line.endswith(".. ≥ the largest of 100") and line.startswith("p99 1.9")]
    value, low, _, high = p50.split()[3:]
    assert (float(value), float(low), float(high)) == pytest.approx((1.49, 1.39, 1.60), rel=0.005)  # ranks 50, 40, 61
    assert float(p99.split()[2]) == pytest.approx(1.95, rel=0.005)
    assert "ttft_s (100) p50 0.5000 0.5000 .. 0.5000" in text


def test_without_unicode_the_same_is_said_in_ascii() -> None:
    assert ">= the largest of 10" in drawn(answers(10), mode="live", encoding="ascii")


def test_simulated_times_have_no_intervals() -> None:
    assert "95% interval" not in drawn(answers(100), mode="mock").split("dialogues 100")[1]


@pytest.mark.parametrize("mode", ["live", "mock"])
def test_where_the_time_of_a_live_run_went_is_told(mode: str) -> None:
    outcomes = [
        Outcome(dialogue_id="a", type="answer", latency_s=6.0, queue_s=4.0, held_s=2.0, between_s=1.0),
        Outcome(dialogue_id="b", type="error", latency_s=6.0, queue_s=4.0, held_s=2.0),
    ]
    told = (
        "time of the dialogues 10.0 s: at the provider 60.0%, in line for a slot 10.0%, held by limits 20.0%, "
        "between tries 10.0%"
    )

    assert (told in rows(drawn(outcomes, mode=mode))) == (mode == "live")
