"""All scenarios, in the order in which they are measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.scenarios import (
    episodes,
    http_fleet_limits,
    http_limits,
    http_long_tail,
    http_many,
    http_multi_turn,
    http_peers,
    http_processes,
    http_scale,
    http_static,
    http_streams,
    http_unsaid_limits,
    journal_cost,
    large_fleet,
    latency_bound,
    many_experiments,
    memory,
    mock_server,
    mock_zero_latency,
    processes,
    reduction,
    resume,
    start_up,
    straggler,
)

if TYPE_CHECKING:
    from benchmarks.figure import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    start_up,
    mock_zero_latency,
    journal_cost,
    latency_bound,
    many_experiments,
    processes,
    straggler,
    reduction,
    memory,
    resume,
    http_static,
    http_streams,
    http_peers,
    http_multi_turn,
    http_long_tail,
    http_limits,
    http_fleet_limits,
    http_unsaid_limits,
    http_processes,
    http_scale,
    http_many,
    mock_server,
    episodes,
)

LONG: tuple[Scenario, ...] = (large_fleet,)  # take minutes, so they are measured only when they are named
