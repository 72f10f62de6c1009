from __future__ import annotations

from typing import Any

import msgspec
import pytest

from profiler.engine.calls.stream_times import StreamTimes, with_turn
from tests.profiler.engine.calls.bench import reply

GAPS = tuple(float(gap) for gap in range(20, 0, -1))


def told(usage: dict[str, Any] | None = None, **times: Any) -> dict[str, float]:
    given = StreamTimes(turns=1, ttft_s=0.5, gaps_s=(), writing_s=0.0)
    return msgspec.structs.replace(given, **times).record_fields(usage)


def test_gaps_are_told_by_rank_without_interpolation() -> None:
    assert told(gaps_s=GAPS) == {"ttft_s": 0.5, "gap_p50_s": 10.0, "gap_p95_s": 19.0}


def test_an_answer_of_one_part_has_only_a_first_token() -> None:
    assert told({"output_tokens": 7}) == {"ttft_s": 0.5}


@pytest.mark.parametrize(
    ("usage", "tokens_per_s"),
    [
        ({"output_tokens": 21}, 10.0),
        ({"output_tokens": 121, "output_tokens_details": {"thinking_tokens": 100}}, 10.0),
        ({"output_tokens": 21, "output_tokens_details": None}, 10.0),
        ({"output_tokens": 1}, None),
        ({"output_tokens": None}, None),
        ({}, None),
        (None, None),
    ],
)
def test_tokens_a_second_are_those_after_the_first_and_no_thoughts(
    usage: dict[str, Any] | None, tokens_per_s: float | None
) -> None:
    assert told(usage, writing_s=2.0).get("tokens_per_s") == tokens_per_s


@pytest.mark.parametrize(
    ("parts_came_within_s", "tokens_per_s"),
    [(0.0005, None), (0.0009, None), (0.009, None), (0.01, 10_000.0), (0.1, 1_000.0)],
)
def test_parts_that_came_together_do_not_tell_how_fast_they_were_written(
    parts_came_within_s: float, tokens_per_s: float | None
) -> None:
    assert told({"output_tokens": 101}, writing_s=parts_came_within_s).get("tokens_per_s") == tokens_per_s


def test_a_few_tokens_that_came_together_tell_no_speed_either() -> None:
    assert "tokens_per_s" not in told({"output_tokens": 4}, writing_s=0.0009)


def test_of_several_turns_the_slowest_first_token_counts_and_all_gaps() -> None:
    turns = [reply(ttft_s=ttft_s, gaps_s=(ttft_s / 2,), writing_s=1.0) for ttft_s in (0.2, 0.4, 0.3)]
    times = None
    for each in turns:
        times = with_turn(times, each)

    assert times is not None
    assert times.record_fields({"output_tokens": 33}) == {
        "ttft_s": 0.4,
        "gap_p50_s": 0.15,
        "gap_p95_s": 0.2,
        "tokens_per_s": 10.0,
    }


def test_a_reply_that_was_not_streamed_has_no_times() -> None:
    assert with_turn(None, reply()) is None
