"""That every scenario over HTTP measures what it says, with small sizes.

Their programs run in this process, which has loaded the SDK once; `test_peer_programs.py` runs them in processes of their own.
"""

from __future__ import annotations

import importlib
import inspect
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import live, peer_programs
from benchmarks.__main__ import name
from benchmarks.figure import Scale
from benchmarks.peers import legs
from benchmarks.peers.legs import Leg
from benchmarks.process import Returned
from benchmarks.report import Report, judged
from benchmarks.scenarios import SCENARIOS, http_peers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.figure import Scenario

HTTP = [each for each in SCENARIOS if name(each).startswith("http_") and each is not http_peers]
LONG = (  # the parts of others, in other ways and sizes or by several processes
    *("http_streams", "http_multi_turn", "http_scale", "http_many", "http_processes"),
)
GOALS = {
    "http_static": {
        "fast_by_sdk_loop_64": "≥ 15",
        "fast_by_sdk_loop_1000": "≥ 40",
        "fast_lane_cpu_16": "≤ 0.120",
        "fast_lane_cpu_64": "≤ 0.120",
        "fast_lane_cpu_256": "≤ 0.120",
        "fast_lane_cpu_1000": "≤ 0.120",
    },
    "http_streams": {"stream_cpu_by_fast": "≤ 2.500"},
    "http_multi_turn": {},
    "http_long_tail": {"stalled_by_plain": "≥ 0.950"},
    "http_limits": {
        "of_allowed_named": "≥ 0.970",
        "refused_named": "≤ 0.010",
        "of_allowed_learned": "≥ 0.970",
        "refused_learned": "≤ 0.010",
        "pause_by_asked": "≤ 1.050",
    },
    "http_fleet_limits": {"of_allowed": "≥ 0.970", "refused": "≤ 0.010"},
    "http_unsaid_limits": {
        "of_reachable_held": "≥ 0.900",
        "refused_held": "≤ 0.020",
        "refused_shared": "≤ 0.050",
    },
    "http_processes": {"lean_two_by_one": "≥ 1.500"},
    "http_scale": {"growth": "≤ 1.150", "rate_kept": "≥ 0.900"},
    "http_many": {"growth": "≤ 1.150", "open_files": "≤ 178"},
}


def run_here(peer: peer_programs.Peer, given: list[dict[str, Any]]) -> list[dict[str, float]]:
    ask = importlib.import_module(f"benchmarks.peers.{peer.module}").ask
    for each in given:
        if inspect.iscoroutinefunction(ask):
            legs.with_loop(partial(ask, Leg(**each)))
        else:
            ask(Leg(**each))
    return [{"wall_s": 1.0, "cpu_s": 0.1, "peak_mb": 10.0} for _ in given]


def fresh_here(function: Callable[..., Any], **given: Any) -> Returned:
    return Returned(value=function(**given), peak_mb=10.0)


@pytest.fixture
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in live.ENVIRON.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(peer_programs, "run_legs", run_here)
    for scenario in HTTP:
        if hasattr(scenario, "fresh"):
            monkeypatch.setattr(scenario, "fresh", fresh_here)


@pytest.mark.slow
@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize(
    "scenario",
    [pytest.param(each, id=name(each), marks=[pytest.mark.long] if name(each) in LONG else []) for each in HTTP],
)
def test_every_goal_over_http_is_measured(tmp_path: Path, scenario: Scenario) -> None:
    figures = scenario.measure(Scale(folder=tmp_path, runs=1, quick=True, peers=False))

    found = judged(Report(found={"": figures}, machine={}, quick=True))
    assert {row[1]: row[4] for row in found} == GOALS[name(scenario)]
    assert all(math.isfinite(figure.value) for figure in figures)


def test_without_peers_there_is_nothing_to_compare_and_a_word_why(tmp_path: Path) -> None:
    scale = Scale(folder=tmp_path, peers=False)

    assert http_peers.measure(scale) == []
    assert scale.words == ["left out: async_batch_llm, inspect_ai, litellm; nobody asked for them"]
