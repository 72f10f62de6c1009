"""Several peers on one course, in turn: what scenarios over HTTP have in common.

Comes in: who runs, how many dialogues each at how many in flight. Goes out: every measurement, by peer and by the
number in flight, neighbours at the same place. Peers that are not installed are left out, with a word.
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import field
from benchmarks.field import Asked
from benchmarks.figure import alternate, median

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.field import Course, Peer, Took
    from benchmarks.figure import Figure, Scale

Sizes = dict[int, int]  # dialogues by the number in flight
Taken = dict["Peer", dict[int, list["Took"]]]


def held(scale: Scale, course: Course, sizes: Mapping[Peer, Sizes]) -> Taken:
    peers = field.present(scale, list(sizes))
    sides = alternate(scale.few, *(partial(_take, course, peer, sizes[peer]) for peer in peers))
    return {
        peer: {in_flight: [legs[place] for legs in side] for place, in_flight in enumerate(sizes[peer])}
        for peer, side in zip(peers, sides, strict=True)
    }


def rates(taken: Taken) -> list[Figure]:
    """How many dialogues a second, with the processor time that one took."""
    return [
        median(f"{peer.name}_{in_flight}", [leg.rate for leg in legs], unit="dialogues/s", note=_cost(legs))
        for peer, by_flight in taken.items()
        for in_flight, legs in by_flight.items()
    ]


def _cost(legs: Sequence[Took]) -> str:
    cpu_ms = statistics.median(leg.cpu_ms for leg in legs)
    return f"{legs[0].count:,} dialogues, {cpu_ms:.3f} ms CPU each, {max(leg.peak_mb for leg in legs):.0f} MB"


def _take(course: Course, peer: Peer, sizes: Sizes) -> list[Took]:
    return course.take(peer, [Asked(count=count, in_flight=in_flight) for in_flight, count in sizes.items()])
