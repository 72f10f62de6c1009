"""One dialogue that stalls for the whole run costs the others nothing.

Latencies have a long tail (log-normal). The same run is made without a stall, and with dialogue 0 stalled until all
others are answered; measured is how fast those others are answered. One worker of 256 can only wait, which alone costs
0.4 %.
"""

from __future__ import annotations

import tempfile
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import workload
from benchmarks.figure import Figure, alternate, median, ratios
from benchmarks.process import fresh

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figure import Scale

WORKERS = 256
MEDIAN_S = 0.02
SIGMA = 1.0


def measure(scale: Scale) -> list[Figure]:
    count = scale.pick(12_000, quick=500)
    dataset = workload.dialogues(scale, count)
    stalled, plain = alternate(
        scale.few,
        partial(_rate, scale, dataset, count=count, stall=True),
        partial(_rate, scale, dataset, count=count, stall=False),
    )
    return [
        median("stalled_by_plain", ratios(stalled, plain), at_least=0.95, note=f"{count:,} dialogues"),
        median("stalled", stalled, unit="dialogues/s"),
        median("plain", plain, unit="dialogues/s"),
    ]


def _rate(scale: Scale, dataset: Path, *, count: int, stall: bool) -> float:
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        seconds: float = fresh(calling, dataset=dataset, output_dir=folder, stall=stall).value
    return (count - 1) / seconds


def calling(*, dataset: str, output_dir: str, stall: bool) -> float:
    asked = workload.experiment(dataset, concurrency=WORKERS, median_s=MEDIAN_S, sigma=SIGMA)
    return workload.watched_run(asked, output_dir=output_dir, stall=stall).seconds
