from __future__ import annotations

import statistics

from profiler.provider.mock_server.admission.chance import draws
from profiler.provider.mock_server.delivery.pace import latency
from profiler.provider.mock_server.settings import ServerSettings


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
