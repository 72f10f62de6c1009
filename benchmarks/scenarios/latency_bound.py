"""Nothing but the latency limits a run that waits: each of W workers makes a call every 50 ms, no slot stands idle.

The calling phase is taken whole, from the first dispatch to the last reply, which is in the journal one turn of the
event loop later. The number of dialogues is a multiple of W, so W ideal workers would need exactly
dialogues / W × latency: nothing is taken off for filling the slots at the start or for emptying them at the end.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from benchmarks import workload
from benchmarks.figure import Figure, median
from benchmarks.process import fresh

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figure import Scale

LATENCY_S = 0.05


def measure(scale: Scale) -> list[Figure]:
    rounds = scale.pick(60, quick=2)
    return [_of_limit(scale, workers, rounds=rounds) for workers in (1_000, 100)]


def _of_limit(scale: Scale, workers: int, *, rounds: int) -> Figure:
    dataset = workload.dialogues(scale, workers * rounds)
    shares = [rounds * LATENCY_S / _seconds(scale, dataset, workers=workers) for _ in range(scale.runs)]
    note = f"share of {workers / LATENCY_S:,.0f} dialogues/s; {workers * rounds:,} dialogues"
    return median(f"of_limit_{workers}_workers", shares, at_least=0.97, note=note)


def _seconds(scale: Scale, dataset: Path, *, workers: int) -> float:
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        seconds: float = fresh(calling, dataset=dataset, output_dir=folder, workers=workers).value
    return seconds


def calling(*, dataset: str, output_dir: str, workers: int) -> float:
    asked = workload.experiment(dataset, concurrency=workers, median_s=LATENCY_S)
    return workload.watched_run(asked, output_dir=output_dir).seconds
