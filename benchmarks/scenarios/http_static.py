"""HTTP at its fastest: the server has one static answer, so nearly all work is the client's.

All programs read the same dialogues, ask the same mock server, which has a core for itself, and write their answers.
Those are checked: every dialogue once, with the right text, and no more calls than dialogues. `fast_lane` and
`sdk_lane` are whole live runs with journal, logs and metrics; `sdk_loop` is the official SDK in a loop; `aiohttp` and
`pyreqwest` are bare HTTP clients in the same loop. `sockets` is the limit, a program that knows one server and no
errors. There is no goal for the share of it that is reached: nobody's account allows so many calls.

Slow programs get fewer dialogues, but at least one for every call in flight. Before each measurement a program answers
a few dialogues unmeasured, so that imports do not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import peer_programs, peer_runs
from benchmarks.figure import median, ratios
from benchmarks.serving import serving

if TYPE_CHECKING:
    from benchmarks.figure import Figure, Scale
    from benchmarks.peer_runs import Sizes, Taken

SIZES: dict[peer_programs.Peer, Sizes] = {
    peer_programs.FAST: {16: 8_000, 64: 12_000, 256: 12_000, 1_000: 12_000},
    peer_programs.SOCKETS: {16: 10_000, 64: 15_000, 256: 15_000, 1_000: 15_000},
    peer_programs.SDK_LOOP: {16: 250, 64: 500, 256: 400, 1_000: 1_000},
    peer_programs.SDK_LANE: {64: 400, 1_000: 1_000},
    peer_programs.AIOHTTP: {64: 2_500, 1_000: 2_500},
    peer_programs.PYREQWEST: {64: 5_000, 1_000: 5_000},
}
QUICK = 40
GOALS_BY_LOOP = {64: 15.0, 1_000: 40.0}
GOAL_CPU_MS = 0.12


def measure(scale: Scale) -> list[Figure]:
    sizes = {peer: {n: scale.pick(count, quick=QUICK) for n, count in legs.items()} for peer, legs in SIZES.items()}
    with serving("--static") as server:
        taken = peer_runs.held(scale, peer_programs.static_course(scale, server), sizes)
    return [*_ratios(taken), *_costs(taken), *peer_runs.rates(taken)]


def _ratios(taken: Taken) -> list[Figure]:
    rows = []
    goals: dict[int, float]
    for peer, goals in ((peer_programs.SDK_LOOP, GOALS_BY_LOOP), (peer_programs.SOCKETS, {})):
        for in_flight, legs in taken[peer].items():
            ours = taken[peer_programs.FAST][in_flight]
            by = ratios([leg.rate for leg in ours], [leg.rate for leg in legs])
            rows.append(median(f"fast_by_{peer.name}_{in_flight}", by, at_least=goals.get(in_flight)))
    return rows


def _costs(taken: Taken) -> list[Figure]:
    rows = []
    for in_flight, legs in taken[peer_programs.FAST].items():
        used = [leg.cpu_ms for leg in legs]
        rows.append(median(f"fast_lane_cpu_{in_flight}", used, unit="ms", at_most=GOAL_CPU_MS))
    most = max(taken[peer_programs.FAST])
    peaks = [leg.peak_mb for leg in taken[peer_programs.FAST][most]]
    return [*rows, median(f"fast_lane_peak_{most}", peaks, unit="MB")]
