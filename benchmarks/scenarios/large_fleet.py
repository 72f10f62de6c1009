"""Ten million dialogues in mock mode by two processes: how long, how much memory, and how soon such a run goes on after a kill.

The coordinator of the first command is killed (SIGKILL) when it sees 98.5 % answered; its workers end by themselves. The same
command then goes on to the end. `first_call` is the time from the start of that second process until its panel shows an answer; it
has looked at what is kept, and hashed the dataset again, before it asks anything. Both take minutes, so this scenario runs only when
it is named: `--only large_fleet`, with `--runs 5` for ten million, else for one million.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from benchmarks import workload
from benchmarks.figure import Figure
from benchmarks.process import ChildFailed, fresh
from profiler.engine.options import Options
from profiler.fleet.run import run_by_processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.figure import Scale
    from profiler.engine.progress import Looks, Snapshot

PEAK_MB = 200.0
SOON_S = 30.0
PROCESSES = 2
LOOK_EVERY_S = 0.02
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Unexpected(Exception):
    """The run was not killed, or did not answer everything once."""


def measure(scale: Scale) -> list[Figure]:
    count = scale.pick(10_000_000, usual=1_000_000, quick=2_000)
    dataset, folder = workload.dialogues(scale, count), scale.folder / "large"
    given: dict[str, Any] = {"dataset": dataset, "output_dir": folder, "slowly": scale.quick}
    killed = _killed(folder, die_at=count // 2 if scale.quick else count * 985 // 1000, **given)
    ended = fresh(resumed, begun=time.monotonic(), **given).value
    if ended["answered"] != count or not 0 < ended["kept"] < count:
        raise Unexpected(f"{ended['answered']:,} of {count:,} are answered, {ended['kept']:,} were kept")
    shutil.rmtree(folder)
    note = f"{count:,} dialogues"
    return [
        Figure(name="rate", value=killed["done"] / killed["seconds"], unit="dialogues/s", note=note),
        Figure(name="coordinator_peak", value=max(killed["peak_mb"], ended["peak_mb"]), unit="MB", at_most=PEAK_MB),
        Figure(name="worker_peak", value=ended["worker_peak_mb"], unit="MB"),
        Figure(
            name="first_call", value=ended["first_call_s"], unit="s", at_most=SOON_S, note=f"{ended['kept']:,} kept"
        ),
        Figure(name="rest", value=ended["seconds"], unit="s", note="from the first call to the summary"),
    ]


def _killed(folder: Path, *, die_at: int, **given: Any) -> dict[str, Any]:
    folder.mkdir()
    try:
        fresh(dying, die_at=die_at, **given)
    except ChildFailed:
        found: dict[str, Any] = msgspec.json.decode((folder / "mark").read_bytes())
        return found
    raise Unexpected("the run ended before it was killed")


def dying(*, dataset: str, output_dir: str, slowly: bool, die_at: int) -> None:
    begun = time.perf_counter()

    async def watch(looks: Looks) -> None:
        look = await _seen(looks, lambda look: look.done >= die_at)
        _die(Path(output_dir, "mark"), seconds=time.perf_counter() - begun, done=look.done)

    _run(dataset, output_dir, slowly=slowly, watch=watch)


def _die(mark: Path, **told: float) -> None:
    mark.write_bytes(msgspec.json.encode({**told, "peak_mb": _peak_mb(resource.RUSAGE_SELF)}))
    os.kill(os.getpid(), signal.SIGKILL)


def resumed(*, dataset: str, output_dir: str, slowly: bool, begun: float) -> dict[str, Any]:
    first_call = time.monotonic()

    async def watch(looks: Looks) -> None:
        nonlocal first_call
        await _seen(looks, lambda look: any(worker.answered for worker in look.workers))
        first_call = time.monotonic()

    result = _run(dataset, output_dir, slowly=slowly, watch=watch)
    return {
        "first_call_s": first_call - begun,
        "seconds": time.monotonic() - first_call,
        "kept": result.kept,
        "answered": result.summary["counts"]["total"],
        "peak_mb": _peak_mb(resource.RUSAGE_SELF),
        "worker_peak_mb": _peak_mb(resource.RUSAGE_CHILDREN),
    }


def _run(dataset: str, output_dir: str, *, slowly: bool, watch: Callable[[Looks], Any]) -> Any:
    asked = workload.experiment(dataset, concurrency=4 if slowly else 32, median_s=0.002 if slowly else 0.0)
    options = Options(output_dir=Path(output_dir), mode="mock")

    async def main() -> Any:
        return await run_by_processes(asked, options=options, processes=PROCESSES, watch=watch)

    return anyio.run(main)


async def _seen(looks: Looks, wanted: Callable[[Snapshot], bool]) -> Snapshot:
    while True:
        look = looks.look()
        if wanted(look):
            return look
        await anyio.sleep(LOOK_EVERY_S)


def _peak_mb(who: int) -> float:
    return resource.getrusage(who).ru_maxrss * RSS_UNIT / 1e6
