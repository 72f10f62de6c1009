"""Two processes by one, over the same dialogues, live over HTTP, from the survey to the summary.

The server has a process of its own, and all of them share the cores of this machine. So two processes can be faster by no
more than what one process and the server leave of the cores. `room_*` is that bound: how much faster a run would be in which
the processor time of a call, that of both ends as it was measured with one process, filled all cores. `*_by_room` is how much of
it two processes reach; `*_two_by_one` is the ratio of the paces.

`lean` is a server that does no more than answer the same bytes to everybody, so it leaves the most room, and there the goal is meant; `mock` is the mock
server with a static answer, and `waiting` the same with replies after 35 ms and 1,000 calls in flight, as a provider has
them.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anyio

from benchmarks import live, load, workload
from benchmarks.figure import Figure, alternate, median, ratios
from benchmarks.process import fresh
from benchmarks.serving import CORES, serving, serving_lean
from profiler.engine.options import Options
from profiler.fleet.run import run_by_processes

if TYPE_CHECKING:
    from benchmarks.figure import Scale
    from benchmarks.serving import Serving

FASTER = 1.5
IN_FLIGHT, MANY_IN_FLIGHT = 128, 1_000
LATENCY_S = 0.035


class Seen(NamedTuple):
    """One run: its seconds, and the processor time of the run and of the server, for so many calls."""

    calls: int
    seconds: float
    ours_s: float
    server_s: float

    @property
    def rate(self) -> float:
        return self.calls / self.seconds

    @property
    def room(self) -> float:
        """How many times as fast it could be if nothing else than the cores bounded it, and two processes at most."""
        return min(2.0, max(1, len(CORES)) * self.seconds / (self.ours_s + self.server_s))


def measure(scale: Scale) -> list[Figure]:
    if not Path("/proc/self/schedstat").exists():
        scale.say(
            "no figures of several processes over HTTP: what a server has used is read from /proc, as Linux has it"
        )
        return []
    figures = []
    with serving("--static", anywhere=True) as server:
        reply = scale.folder / "reply"
        reply.write_bytes(anyio.run(load.ask, server.base_url, 1))
        with serving_lean(reply) as lean:
            figures += _measured(scale, "lean", lean, in_flight=IN_FLIGHT)
        figures += _measured(scale, "mock", server, in_flight=IN_FLIGHT)
    with serving("--static", "--latency", str(LATENCY_S), anywhere=True) as waiting:
        figures += _measured(scale, "waiting", waiting, in_flight=scale.pick(MANY_IN_FLIGHT, quick=IN_FLIGHT))
    return figures


def _measured(scale: Scale, name: str, server: Serving, *, in_flight: int) -> list[Figure]:
    count = scale.pick(200_000, quick=400)
    one, two = alternate(
        scale.few,
        lambda: _seen(scale, server, count=count, in_flight=in_flight, by=1),
        lambda: _seen(scale, server, count=count, in_flight=in_flight, by=2),
    )
    faster = ratios([each.rate for each in two], [each.rate for each in one])
    room = [each.room for each in one]
    ours_us, its_us = (1e6 / count * median("", used).value for used in zip(*(each[2:] for each in one), strict=True))
    bound = f"{ours_us:.0f} µs of one process and {its_us:.0f} µs of the server for a call"
    note = f"{count:,} dialogues, {in_flight:,} in flight; {bound}"
    return [
        median(f"{name}_two_by_one", faster, at_least=FASTER if name == "lean" else None, note=note),
        median(f"room_{name}", room),
        median(f"{name}_by_room", ratios(faster, room)),
        median(f"{name}_one", [each.rate for each in one], unit="dialogues/s"),
        median(f"{name}_two", [each.rate for each in two], unit="dialogues/s"),
    ]


def _seen(scale: Scale, server: Serving, *, count: int, in_flight: int, by: int) -> Seen:
    dataset, before_s = workload.dialogues(scale, count), server.used_s()
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        given = {"dataset": dataset, "output_dir": folder, "base_url": server.base_url}
        ended = fresh(calling, **given, in_flight=in_flight, by=by)
    seconds, ours_s = ended.value
    return Seen(count, seconds, ours_s, server.used_s() - before_s)


def calling(*, dataset: str, output_dir: str, base_url: str, in_flight: int, by: int) -> tuple[float, float]:
    """The seconds of a run, and the processor time of all its processes."""
    os.environ.update(live.ENVIRON)
    asked = live.experiment(dataset, base_url=base_url, concurrency=in_flight)
    options = Options(output_dir=Path(output_dir), mode="live")

    async def by_several() -> None:
        await run_by_processes(asked, options=options, processes=by)

    begun, before_s = time.perf_counter(), _used_s()
    if by == 1:
        live.finished_run(dataset, base_url=base_url, output_dir=Path(output_dir), concurrency=in_flight)
    else:
        anyio.run(by_several)
    return time.perf_counter() - begun, _used_s() - before_s


def _used_s() -> float:
    """By this process, and by those that it has started and waited for."""
    whose = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in whose)
