"""A manifest of many small experiments, whose calls wait: how near it comes to one that loses no time between them.

The ideal is all calls over all places: dialogues × latency ÷ places. Beside it, the CPU of an experiment beyond its
dialogues: that of many small ones, less that of one experiment with as many dialogues.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import workload
from benchmarks.figure import Figure, median
from benchmarks.process import fresh
from profiler.engine.options import Options
from profiler.engine.runner import run_all_sync
from profiler.manifest.settings import Experiment, Latency, MockSettings

if TYPE_CHECKING:
    from benchmarks.figure import Scale

PLACES = 64
DIALOGUES = 10
LEGS = {200: 0.9, 50: 0.7}  # milliseconds, and the share of the ideal that is wanted
CPU_MS = 6.0


def measure(scale: Scale) -> list[Figure]:
    count = scale.pick(1_000, quick=12)
    figures: list[Figure] = []
    for milliseconds, goal in LEGS.items():
        taken = [_leg(scale, count, milliseconds / 1000) for _ in range(scale.few)]
        ideal = count * DIALOGUES * milliseconds / 1000 / PLACES
        shares = [ideal / seconds for seconds, _ in taken]
        figures.append(median(f"of_ideal_{milliseconds}_ms", shares, at_least=goal, note=f"{count:,} × {DIALOGUES}"))
    (_, many), (_, one) = _leg(scale, count, 0.0), _leg(scale, 1, 0.0, dialogues=count * DIALOGUES)
    beyond = (many - one) / count * 1000
    return [*figures, Figure(name="cpu_beyond_dialogues", value=beyond, unit="ms", at_most=CPU_MS)]


def _leg(scale: Scale, count: int, latency_s: float, *, dialogues: int = DIALOGUES) -> tuple[float, float]:
    """Seconds of wall time and of CPU."""
    dataset = workload.dialogues(scale, dialogues)
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        seconds, cpu = fresh(running, dataset=dataset, output_dir=folder, count=count, latency_s=latency_s).value
    return float(seconds), float(cpu)


def running(*, dataset: str, output_dir: str, count: int, latency_s: float) -> tuple[float, float]:
    many = [
        Experiment(
            experiment_id=f"e{number}",
            model=f"m{number}",  # another one each, so that all of them are asked
            max_tokens=64,
            dataset_path=Path(dataset),
            concurrency=PLACES,
            mock=MockSettings(latency_s=Latency(median_s=latency_s)),
        )
        for number in range(count)
    ]
    begun, used = time.perf_counter(), _cpu()
    ended = run_all_sync(many, options=Options(output_dir=Path(output_dir), concurrency=PLACES))
    if any(each.result is None for each in ended):
        raise AssertionError("not every experiment came to its end")
    return time.perf_counter() - begun, _cpu() - used


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
