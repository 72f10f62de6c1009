"""Memory does not grow with the number of dialogues, not even when the first of them is stalled until the end.

The peak is the system's figure for the whole process: interpreter, imports, survey, calls, logs and reduction. While
dialogue 0 is stalled, nothing can be written in order before all others are answered. Run time does not matter here, so
the two large runs go side by side. A million dialogues are used only with `--runs 5` and more.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks import workload
from benchmarks.figure import Figure
from benchmarks.process import fresh

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figure import Scale

GROWTH = 1.15
PEAK_MB = 150.0


def measure(scale: Scale) -> list[Figure]:
    small, large = scale.pick(10_000, quick=500), scale.pick(1_000_000, usual=200_000, quick=2_000)
    few, many = workload.dialogues(scale, small), workload.dialogues(scale, large)
    with ThreadPoolExecutor(2) as side_by_side:
        peaks = list(
            side_by_side.map(
                lambda asked: _peak_mb(scale, *asked),
                [(many, False), (many, True), (few, False), (few, True)],
            )
        )
    plain, stalled, few_plain, few_stalled = peaks
    note = f"{large:,} dialogues by {small:,}"
    return [
        Figure(name="growth", value=plain / few_plain, at_most=GROWTH, note=note),
        Figure(name="growth_stalled", value=stalled / few_stalled, at_most=GROWTH, note=note),
        Figure(name="peak", value=plain, unit="MB", at_most=PEAK_MB),
        Figure(name="peak_stalled", value=stalled, unit="MB", at_most=PEAK_MB),
        Figure(name="peak_of_few", value=few_plain, unit="MB"),
    ]


def _peak_mb(scale: Scale, dataset: Path, stall: bool) -> float:
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        return fresh(whole_run, dataset=dataset, output_dir=folder, stall=stall).peak_mb


def whole_run(*, dataset: str, output_dir: str, stall: bool) -> None:
    workload.watched_run(workload.experiment(dataset), output_dir=output_dir, stall=stall)
