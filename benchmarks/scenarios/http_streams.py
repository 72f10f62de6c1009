"""Streams at their fastest: the static server sends its one answer in 20 parts at once, so nearly all work is the client's.

`stream_lane` and `sdk_stream_lane` are whole live runs over the two lanes that stream; `fast_lane` asks the same server
for whole messages. What a stream costs is compared in processor time a dialogue. The course is that of `http_static`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import peer_programs, peer_runs
from benchmarks.figure import median, ratios
from benchmarks.serving import serving

if TYPE_CHECKING:
    from benchmarks.figure import Figure, Scale

IN_FLIGHT = 64
SIZES = {peer_programs.STREAM_LANE: 8_000, peer_programs.FAST: 12_000, peer_programs.SDK_STREAM_LANE: 200}
QUICK = 40
GOAL_BY_FAST = 2.5


def measure(scale: Scale) -> list[Figure]:
    sizes = {peer: {IN_FLIGHT: scale.pick(count, quick=QUICK)} for peer, count in SIZES.items()}
    with serving("--static") as server:
        taken = peer_runs.held(scale, peer_programs.static_course(scale, server), sizes)
    cpu = {peer: [leg.cpu_ms for leg in legs[IN_FLIGHT]] for peer, legs in taken.items()}
    ours = cpu[peer_programs.STREAM_LANE]
    return [
        median(
            "stream_cpu_by_fast", ratios(ours, cpu[peer_programs.FAST]), at_most=GOAL_BY_FAST, note="20 parts an answer"
        ),
        median("sdk_cpu_by_stream", ratios(cpu[peer_programs.SDK_STREAM_LANE], ours)),
        *peer_runs.rates(taken),
    ]
