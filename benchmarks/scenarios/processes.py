"""Two processes by one, over the same dialogues, at zero latency with the mock.

The mock costs nothing but the engine's own work, so this is what more cores give to it (`http_processes` has live calls). Both
sides are whole runs, from the survey to the summary, and their files are compared to the byte. `peak` is the largest process of the run by two, coordinator or worker; `start` the time from the
start of a worker's interpreter until it asks for its first range.
"""

from __future__ import annotations

import filecmp
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from benchmarks import workload
from benchmarks.figure import Figure, alternate, median, ratios
from benchmarks.process import fresh
from profiler.engine.options import Options
from profiler.fleet.drivers.process_driver import processes as process_driver
from profiler.fleet.jobs import job_of
from profiler.fleet.messages import Want
from profiler.fleet.preparing.prepare import prepare
from profiler.fleet.run import run_by_processes
from profiler.storage import run_directory
from profiler.storage.names import REQUESTS, RESPONSES, SCORES, SUMMARY

if TYPE_CHECKING:
    from benchmarks.figure import Scale
    from benchmarks.process import Returned
    from profiler.manifest.settings import Experiment

MOCK = 1.7
PEAK_MB = 200.0
START_S = 0.4


class OtherBytes(Exception):
    """Two processes did not leave what one leaves."""


def measure(scale: Scale) -> list[Figure]:
    count = scale.pick(1_000_000, quick=2_000)
    one, two = alternate(scale.few, lambda: _mock(scale, count, by=1), lambda: _mock(scale, count, by=2))
    rates = [[count / ended.value for ended in side] for side in (one, two)]
    return [
        median("mock_two_by_one", ratios(rates[1], rates[0]), at_least=MOCK, note=f"{count:,} dialogues"),
        median("mock_one", rates[0], unit="dialogues/s"),
        median("mock_two", rates[1], unit="dialogues/s"),
        median("peak", [ended.peak_mb for ended in two], unit="MB", at_most=PEAK_MB),
        median("start", [_start(scale) for _ in range(scale.runs)], unit="s", at_most=START_S),
    ]


def _mock(scale: Scale, count: int, *, by: int) -> Returned:
    """A run, which leaves its files for the comparison with the other side's."""
    dataset = workload.dialogues(scale, count)
    os.sync()  # what the run before has left to write would be written during this one
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        ended = fresh(running, dataset=dataset, output_dir=folder, by=by)
        _compare(Path(folder) / workload.EXPERIMENT_ID, scale.folder / f"one-{count}", first=by == 1)
    return ended


def _compare(run: Path, kept: Path, *, first: bool) -> None:
    """The first run by one process is kept; all others must be like it."""
    if first and not kept.exists():
        run.rename(kept)
        return
    for name in (REQUESTS, RESPONSES, SCORES, SUMMARY):
        if not filecmp.cmp(
            run / name, kept / name, shallow=False
        ):  # read whole, they would count as memory of all that follows
            raise OtherBytes(f"{name} of {run} is not that of one process")


def running(*, dataset: str, output_dir: str, by: int) -> float:
    if by == 1:
        return workload.finished_run(dataset=dataset, output_dir=output_dir)
    options = Options(output_dir=Path(output_dir), mode="mock")
    return _seconds_by_several(workload.experiment(dataset), options, by=by)


def _seconds_by_several(asked: Experiment, options: Options, *, by: int) -> float:
    async def main() -> None:
        await run_by_processes(asked, options=options, processes=by)

    begun = time.perf_counter()
    anyio.run(main)
    return time.perf_counter() - begun


def _start(scale: Scale) -> float:
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        return float(fresh(starting, dataset=workload.dialogues(scale, 100), output_dir=folder).value)


def starting(*, dataset: str, output_dir: str) -> float:
    """Until a worker whose job is at hand wants its first range."""
    asked, options = workload.experiment(dataset), Options(output_dir=Path(output_dir), mode="mock")

    async def main() -> float:
        with run_directory.hold(options.folder_of(asked), tell=print) as directory:
            prepared = prepare(asked, directory, options=options, processes=2)
            async with process_driver(prepared.folders.logs) as driver:
                begun = time.perf_counter()
                driver.start(0)
                driver.tell(0, job_of(prepared, options, worker=0, workers=2, cap=None))
                while not isinstance((await driver.poll())[1], Want):
                    pass
                return time.perf_counter() - begun

    return anyio.run(main)
