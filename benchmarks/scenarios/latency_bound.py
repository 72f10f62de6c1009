"""Only the latency limits a run that waits: each of W workers makes a call every 50 ms, and no slot is idle.

Measured is the whole calling phase, from the first call to the last reply, which is in the journal one turn of the
event loop later. The number of dialogues is a multiple of W, so W ideal workers would need exactly dialogues / W ×
latency: nothing is subtracted for the start, when slots fill, or for the end, when they empty.
"""

from __future__ import annotations

import asyncio
import importlib.util
import tempfile
import time
from typing import TYPE_CHECKING

import anyio

from benchmarks import workload
from benchmarks.figure import Figure, alternate, median
from benchmarks.process import fresh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.figure import Scale

LATENCY_S = 0.05


def measure(scale: Scale) -> list[Figure]:
    rounds = scale.pick(50, quick=2)
    return [figure for workers in (1_000, 100) for figure in _figures(scale, workers, rounds=rounds)]


def _figures(scale: Scale, workers: int, *, rounds: int) -> list[Figure]:
    dataset = workload.dialogues(scale, workers * rounds)
    engine, bare = alternate(
        scale.few,
        lambda: rounds * LATENCY_S / _seconds(scale, dataset, workers=workers),
        lambda: rounds * LATENCY_S / fresh(sleeping, workers=workers, rounds=rounds).value,
    )
    note = f"share of {workers / LATENCY_S:,.0f} dialogues/s; {workers * rounds:,} dialogues"
    return [
        median(f"of_limit_{workers}_workers", engine, at_least=0.97, note=note),
        median(
            f"bare_loop_{workers}_workers", bare, note="the same share for tasks that only sleep: what Python gives"
        ),
    ]


def _seconds(scale: Scale, dataset: Path, *, workers: int) -> float:
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        seconds: float = fresh(calling, dataset=dataset, output_dir=folder, workers=workers).value
    return seconds


def calling(*, dataset: str, output_dir: str, workers: int) -> float:
    asked = workload.experiment(dataset, concurrency=workers, median_s=LATENCY_S)
    return workload.watched_run(asked, output_dir=output_dir).seconds


def sleeping(*, workers: int, rounds: int) -> float:
    """Workers that only wait, on the loop that the engine uses."""

    async def work(turns: Iterator[int]) -> None:
        for _ in turns:
            await asyncio.sleep(LATENCY_S)

    async def main() -> float:
        turns = iter(range(workers * rounds))
        begun = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for _ in range(workers):
                tasks.start_soon(work, turns)
        return time.perf_counter() - begun

    return anyio.run(main, backend_options={"use_uvloop": importlib.util.find_spec("uvloop") is not None})
