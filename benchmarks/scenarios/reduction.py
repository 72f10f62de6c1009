"""How fast two finished logs become metrics, against a loop that only decodes both."""

from __future__ import annotations

import gc
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from benchmarks import workload
from benchmarks.figure import Figure, alternate, median, ratios
from benchmarks.process import fresh
from profiler.manifest.settings import USUAL_METRICS
from profiler.metrics.builtin import resolve
from profiler.storage.reading.saved_run import reduce_logs

if TYPE_CHECKING:
    from benchmarks.figure import Scale


def measure(scale: Scale) -> list[Figure]:
    count = scale.pick(100_000, quick=1_000)
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        fresh(workload.finished_run, dataset=workload.dialogues(scale, count), output_dir=folder)
        logs = Path(folder) / workload.EXPERIMENT_ID
        ours, loop = alternate(
            scale.runs, partial(_rate, reduced, logs=logs, count=count), partial(_rate, decoded, logs=logs, count=count)
        )
    return [
        median(
            "reduce_logs", ours, unit="records/s", at_least=100_000, note=f"{count:,} records, all built-in metrics"
        ),
        median("by_loop", ratios(ours, loop), note="the loop only decodes both files"),
    ]


def _rate(side: Any, *, logs: Path, count: int) -> float:
    seconds: float = fresh(side, logs=logs).value
    return count / seconds


def reduced(*, logs: str) -> float:
    metrics = resolve(USUAL_METRICS)
    gc.collect()
    begun = time.perf_counter()
    reduce_logs(Path(logs), metrics).estimates()
    return time.perf_counter() - begun


def decoded(*, logs: str) -> float:
    gc.collect()
    begun = time.perf_counter()
    for name in ("requests.jsonl", "responses.jsonl"):
        with (Path(logs) / name).open("rb") as lines:
            for line in lines:
                orjson.loads(line)
    return time.perf_counter() - begun
