from __future__ import annotations

import statistics

from profiler.provider.mock_server.answering.events import event
from profiler.provider.mock_server.delivery import deliver, draws, latency
from profiler.provider.mock_server.faults import NO_FAULT
from profiler.provider.mock_server.settings import ServerSettings

MESSAGE = {
    "content": [{"type": "text", "text": "word " * 40}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "stop_details": None,
    "container": None,
    "usage": {"input_tokens": 3, "output_tokens": 50},
}


def latencies(settings: ServerSettings, *, count: int = 4000) -> list[float]:
    return [latency(settings, draws(settings.seed, f"call {number}")) for number in range(count)]


def test_half_of_the_latencies_are_below_the_median_and_the_tail_is_long() -> None:
    drawn = latencies(ServerSettings(latency_s=0.1, latency_sigma=1.0))

    assert 0.095 < statistics.median(drawn) < 0.105
    assert 0.8 < statistics.quantiles(drawn, n=100)[98] < 1.3  # exp(2.33) is 10.2


def test_as_many_answers_stall_as_asked_for() -> None:
    drawn = latencies(ServerSettings(latency_s=0.1, stall_rate=0.05, stall_s=7.0))

    assert set(drawn) == {0.1, 7.0}
    assert 160 < drawn.count(7.0) < 240


def test_draws_depend_on_the_seed_and_the_call_alone() -> None:
    assert draws(1, "a") == draws(1, "a")
    assert len({draws(1, "a"), draws(2, "a"), draws(1, "b")}) == 3


def test_a_stream_takes_as_long_as_the_whole_message() -> None:
    pieces, _, _ = deliver(MESSAGE, stream=True, fields=b"", fault=NO_FAULT, latency_s=3.0, trickle_s=0)

    waits = [wait_s for wait_s, _ in pieces]
    assert waits[0] == 1.5
    assert abs(sum(waits) - 3.0) < 1e-9


def test_a_stream_without_latency_is_one_write() -> None:
    pieces, _, _ = deliver(MESSAGE, stream=True, fields=b"", fault=NO_FAULT, latency_s=0.0, trickle_s=0)

    assert len(pieces) == 1


def test_an_event_is_named_twice() -> None:
    assert event("ping") == b'event: ping\ndata: {"type":"ping"}\n\n'
