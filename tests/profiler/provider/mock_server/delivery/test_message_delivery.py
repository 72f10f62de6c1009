from __future__ import annotations

import math
import statistics

from profiler.provider.mock_server.admission.faults import NO_FAULT
from profiler.provider.mock_server.delivery.message_delivery import deliver
from profiler.provider.mock_server.delivery.pace import AT_ONCE, Pace, pace_of
from profiler.provider.mock_server.settings import ServerSettings

MESSAGE = {
    "content": [{"type": "text", "text": "word " * 40}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "stop_details": None,
    "container": None,
    "usage": {"input_tokens": 3, "output_tokens": 50},
}


def test_a_stream_takes_as_long_as_the_whole_message() -> None:
    pieces, _, _ = deliver(MESSAGE, stream=True, fields=b"", fault=NO_FAULT, pace=Pace(1.5, 1.5), trickle_s=0)

    waits = [wait_s for wait_s, _ in pieces]
    assert waits[0] == 1.5
    assert abs(sum(waits) - 3.0) < 1e-9


def test_a_stream_without_latency_is_one_write() -> None:
    pieces, _, _ = deliver(MESSAGE, stream=True, fields=b"", fault=NO_FAULT, pace=AT_ONCE, trickle_s=0)

    assert len(list(pieces)) == 1


def streamed(pace: Pace) -> list[tuple[float, bytes]]:
    return list(deliver(MESSAGE, stream=True, fields=b"", fault=NO_FAULT, pace=pace, trickle_s=0)[0])


USAGE = {"input_tokens": 900, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 5000, "output_tokens": 50}


def test_the_first_token_comes_after_its_time_and_the_others_at_the_rate_that_was_asked_for() -> None:
    settings = ServerSettings(ttft_s=0.4, tokens_per_second=25)
    pieces = streamed(pace_of(settings, USAGE, call="a", latency_s=0.0))

    waits = [wait_s for wait_s, _ in pieces]
    assert waits[0] == 0.4
    assert b"content_block_delta" in pieces[0][1]
    assert abs(sum(waits[1:]) - 2.0) < 1e-9
    assert len(waits) > 5


def test_what_was_read_from_the_cache_is_not_waited_for() -> None:
    pace = pace_of(ServerSettings(input_tokens_per_second=500), USAGE, call="a", latency_s=0.0)

    assert pace == Pace(2.0, 0.0)


def test_a_message_in_one_piece_takes_as_long_as_its_stream() -> None:
    settings = ServerSettings(ttft_s=0.5, tokens_per_second=100, jitter=0.4, stream_stall_rate=1.0, stall_s=3.0)
    pace = pace_of(settings, USAGE, call="a", latency_s=0.0)
    ((wait_s, _),), _, _ = deliver(MESSAGE, stream=False, fields=b"", fault=NO_FAULT, pace=pace, trickle_s=0)

    assert wait_s == pace.total_s > 3.0


def test_jitter_keeps_the_mean_and_spreads_the_gaps() -> None:
    settings = ServerSettings(ttft_s=1.0, jitter=0.5)
    firsts = [pace_of(settings, USAGE, call=str(number), latency_s=0.0).first_s for number in range(4000)]
    gaps = [wait_s for wait_s, _ in streamed(Pace(1.0, 1.0, jitter=0.5, seed=1))[1:]]

    assert 0.96 < statistics.fmean(firsts) < 1.04
    assert 0.4 < statistics.stdev(map(math.log, firsts)) < 0.6
    assert len(set(gaps)) == len(gaps)


def test_as_many_streams_pause_in_the_middle_as_asked_for() -> None:
    settings = ServerSettings(ttft_s=0.1, tokens_per_second=100, stream_stall_rate=0.1, stall_s=9.0)
    paces = [pace_of(settings, USAGE, call=str(number), latency_s=0.0) for number in range(2000)]
    paused = [pace for pace in paces if pace.pause_s]
    waits = [wait_s for wait_s, _ in streamed(paused[0])]

    assert 150 < len(paused) < 250
    assert waits[0] == 0.1
    assert sum(wait_s >= 9.0 for wait_s in waits) == 1


def test_a_stream_is_the_same_bytes_at_any_pace() -> None:
    def body(pace: Pace) -> bytes:
        return b"".join(piece for _, piece in streamed(pace))

    assert body(AT_ONCE) == body(Pace(1.0, 1.0)) == body(Pace(0.0, 1.0, 0.3, 2.0, 0.99, 7))
