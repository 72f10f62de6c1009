"""Measures several peers with the same work (a course), in turn. Scenarios over HTTP share this.

Each peer runs a number of dialogues for every number in flight. Measurements are grouped by peer and number in flight;
those at the same place in the lists were taken next to each other. Foreign peers that are not installed, or that fail,
are left out, and the report says so.
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import peer_programs
from benchmarks.figure import alternate, median
from benchmarks.peer_programs import Asked, WrongAnswers
from benchmarks.process import ChildFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.figure import Figure, Scale
    from benchmarks.peer_programs import Course, Peer, Took

Sizes = dict[int, int]  # dialogues by the number in flight
Taken = dict["Peer", dict[int, list["Took"]]]


def held(scale: Scale, course: Course, sizes: Mapping[Peer, Sizes]) -> Taken:
    peers = peer_programs.present(scale, list(sizes))
    sides = alternate(scale.few, *(partial(_take, scale, course, peer, sizes[peer]) for peer in peers))
    return {
        peer: {in_flight: [legs[place] for legs in side] for place, in_flight in enumerate(sizes[peer])}
        for peer, side in zip(peers, sides, strict=True)
        if all(side)
    }


def rates(taken: Taken) -> list[Figure]:
    """Dialogues a second, and the processor time of one."""
    return [
        median(f"{peer.name}_{in_flight}", [leg.rate for leg in legs], unit="dialogues/s", note=_cost(legs))
        for peer, by_flight in taken.items()
        for in_flight, legs in by_flight.items()
    ]


def _cost(legs: Sequence[Took]) -> str:
    cpu_ms = statistics.median(leg.cpu_ms for leg in legs)
    return f"{legs[0].count:,} dialogues, {cpu_ms:.3f} ms CPU each, {max(leg.peak_mb for leg in legs):.0f} MB"


def _take(scale: Scale, course: Course, peer: Peer, sizes: Sizes) -> list[Took]:
    """The measurements of a peer. A foreign peer that fails, or does other work, has none, and the report says so."""
    try:
        return course.take(peer, [Asked(count=count, in_flight=in_flight) for in_flight, count in sizes.items()])
    except (ChildFailed, WrongAnswers) as error:
        if not peer.foreign:
            raise
        scale.say(f"no figures of {peer.name}: {str(error).splitlines()[0]}")
        return []
