"""Six times as many dialogues over HTTP change neither memory nor speed.

(`memory` goes up to a million with the mock.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import peer_programs
from benchmarks.figure import Figure
from benchmarks.peer_programs import Asked
from benchmarks.serving import serving

if TYPE_CHECKING:
    from benchmarks.figure import Scale

IN_FLIGHT = 256
GROWTH = 1.15
KEPT = 0.9


def measure(scale: Scale) -> list[Figure]:
    small, large = scale.pick(5_000, quick=100), scale.pick(30_000, quick=500)
    with serving("--static") as server:
        course = peer_programs.static_course(scale, server)
        few, many = (course.take(peer_programs.FAST, [Asked(count=n, in_flight=IN_FLIGHT)])[0] for n in (small, large))
    note = f"{large:,} dialogues by {small:,}"
    return [
        Figure(name="growth", value=many.peak_mb / few.peak_mb, at_most=GROWTH, note=note),
        Figure(name="rate_kept", value=many.rate / few.rate, at_least=KEPT, note=note),
        Figure(name="rate", value=many.rate, unit="dialogues/s"),
        Figure(name="cpu", value=many.cpu_ms, unit="ms"),
    ]
