"""The mock server by a bare asyncio server that answers the same bytes.

`*_by_asyncio` is how much of the bare server's pace it keeps: the processor time of the bare one for a request by its own,
both asked in turn, over 32 connections. The mock server itself runs on uvloop where there is one; `*_by_uvloop` gives the
bare one that too. The time is what the system says that the process has used, so that
whoever asks, and other work on the machine, has no part in it beyond what it does to the caches. `static` answers
everything alike; `full` checks each of the questions, which all differ, makes up an answer, counts, and writes the
journal; `full_no_journal` does without the latter.

`late_*` is how much later than the time to the first token, which is set, the first bytes of 2,000 streams came that all
began at once, beyond what a core gives: what is asked for in one moment is read one after the other, and `late_*_bare` is
how late a bare server is that does no more than wait.

`growth` is the memory of the server after all requests by that after a fifth of them; from there on it forgets the
oldest of what it counts. The million is kept for `--runs 5` and more.
"""

from __future__ import annotations

import resource
import statistics
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from benchmarks import load
from benchmarks.figure import Figure, alternate, median, ratios
from benchmarks.serving import serving, serving_bare

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.figure import Scale
    from benchmarks.serving import Serving

Found = TypeVar("Found")

MODES: dict[str, tuple[str, ...]] = {"static": ("--static",), "full": (), "full_no_journal": ("--journal", "0")}
LOOPS = {"asyncio": 0.6, **({"uvloop": None} if find_spec("uvloop") else {})}  # with the goal by each
GOAL_GROWTH = 1.15
FIRST_TOKEN_S = 2.0


def measure(scale: Scale) -> list[Figure]:
    if not Path("/proc/self/schedstat").exists():
        scale.say("no figures of the mock server: what a process has used is read from /proc, as Linux has it")
        return []
    return [*_paces(scale), *_streams(scale), *_memory(scale)]


def _paces(scale: Scale) -> list[Figure]:
    count = scale.pick(20_000, quick=64)
    with ExitStack() as stack:
        servers = []
        for options in MODES.values():
            own = stack.enter_context(serving(*options))
            reply = _file(scale, _run(load.ask, own.base_url, 1))
            servers += [own, *(stack.enter_context(serving_bare(reply, loop=loop)) for loop in LOOPS)]
        taken = iter(alternate(scale.runs, *(partial(_cost_us, server, count) for server in servers)))
    figures = []
    for mode in MODES:
        own_us = next(taken)
        for loop, goal in LOOPS.items():
            bare_us = next(taken)
            note = f"{statistics.median(own_us):.1f} µs by {statistics.median(bare_us):.1f} µs a request"
            figures.append(median(f"{mode}_by_{loop}", ratios(bare_us, own_us), at_least=goal, note=note))
    return figures


def _cost_us(server: Serving, count: int) -> float:
    """What one request costs the server."""
    before = server.used_s()
    _run(load.ask, server.base_url, count)
    return (server.used_s() - before) / count * 1e6


def _streams(scale: Scale) -> list[Figure]:
    _raise_open_files()
    streams = scale.pick(2000, quick=20)
    with serving("--ttft", str(FIRST_TOKEN_S), "--tokens-per-second", "50") as server:
        reply = _file(scale, _run(load.ask, server.base_url, 1))
        with serving_bare(reply, wait_s=FIRST_TOKEN_S) as bare:
            own_ms, bare_ms = alternate(scale.few, partial(_late_ms, server, streams), partial(_late_ms, bare, streams))
    note = f"{streams:,} streams; what the core gives is taken off, as the bare server shows it"
    rows = []
    for name, at in (("median", 0.5), ("p99", 0.99)):
        own, core = ([late[int(at * len(late))] for late in side] for side in (own_ms, bare_ms))
        beyond = [mine - given for mine, given in zip(own, core, strict=True)]
        rows.append(median(f"late_{name}", beyond, unit="ms", note=note))
        rows.append(median(f"late_{name}_bare", core, unit="ms"))
    return rows


def _late_ms(server: Serving, streams: int) -> list[float]:
    return sorted((wait - FIRST_TOKEN_S) * 1e3 for wait in _run(load.first_bytes, server.base_url, streams))


def _memory(scale: Scale) -> list[Figure]:
    count = scale.pick(1_000_000, usual=100_000, quick=100)
    with serving("--remember", str(count // 5)) as server:
        _run(load.ask, server.base_url, count // 5)
        few_mb = server.memory_mb()
        _run(load.ask, server.base_url, count - count // 5)
        many_mb = server.memory_mb()
    note = f"{count:,} requests by {count // 5:,}"
    return [
        Figure(name="growth", value=many_mb / few_mb, at_most=GOAL_GROWTH, note=note),
        Figure(name="memory", value=many_mb, unit="MB"),
    ]


def _run(action: Callable[[str, int], Awaitable[Found]], *given: Any) -> Found:
    uvloop = find_spec("uvloop") is not None
    return anyio.run(action, *given, backend_options={"use_uvloop": uvloop})


def _file(scale: Scale, reply: bytes) -> Path:
    path = scale.folder / f"reply-{len(list(scale.folder.glob('reply-*')))}"
    path.write_bytes(reply)
    return path


def _raise_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1 << 14 if hard == resource.RLIM_INFINITY else min(hard, 1 << 14)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
