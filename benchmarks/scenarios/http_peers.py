"""The same work by programs that people use for it, 64 in flight, each used as its own documentation says.

`async_batch_llm` streams its results and keeps its checkpoint store, over the official SDK; `inspect_ai` evaluates a
task with one generation for each sample; `litellm` is called in a loop. They are in an environment of their own, which
`make bench-peers` makes; without it there is nothing to compare. The course is that of `http_static`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import peer_programs, peer_runs
from benchmarks.figure import median, ratios
from benchmarks.serving import serving

if TYPE_CHECKING:
    from benchmarks.figure import Figure, Scale

IN_FLIGHT = 64
SIZES = {
    peer_programs.FAST: 12_000,
    peer_programs.ASYNC_BATCH: 300,
    peer_programs.INSPECT: 64,
    peer_programs.LITELLM: 100,
}
QUICK = 10
GOALS = {peer_programs.ASYNC_BATCH: 20.0, peer_programs.INSPECT: 100.0}


def measure(scale: Scale) -> list[Figure]:
    if peer_programs.present(scale, list(SIZES)) == [peer_programs.FAST]:
        return []
    sizes = {peer: {IN_FLIGHT: scale.pick(count, quick=QUICK)} for peer, count in SIZES.items()}
    with serving("--static") as server:
        taken = peer_runs.held(scale, peer_programs.static_course(scale, server), sizes)
    ours = [leg.rate for leg in taken.pop(peer_programs.FAST)[IN_FLIGHT]]
    by_name = [
        median(
            f"fast_by_{peer.name}_{IN_FLIGHT}",
            ratios(ours, [leg.rate for leg in legs[IN_FLIGHT]]),
            at_least=GOALS.get(peer),
        )
        for peer, legs in taken.items()
    ]
    return [*by_name, *peer_runs.rates(taken)]
