"""What the journal and the order cost: the same run with a writer that has neither.

That writer puts records straight into one file in the order of completion, in batches of the same size, and never
syncs: a kill would lose what is in memory, and the log would have no order. Everything else is the same, including
requests.jsonl: it is `profiler.run` with another writer in its place. Measured is the calling phase, until the last
byte is written.

Measured twice: without latency, where records come nearly in order, and long enough that the last sync, for which the
end of a run waits, is a small part (with 40,000 dialogues it was two fifths of the cost); and with a latency
(log-normal, 1 ms) that mixes the order up, with so many workers that the processor is the limit and not the waiting.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import workload
from benchmarks.figure import Figure, alternate, median, ratios
from benchmarks.process import fresh
from profiler.core.json import encode_lines
from profiler.storage.line_file import LineFile
from profiler.storage.writing import open_run, writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from benchmarks.figure import Scale
    from profiler.core.nouns import Record, RequestLine

COST = 0.15
WORKERS = 1_000


class Over(Exception):
    """The calling phase has ended; what a run does afterwards is not measured here."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class TimedWriter(writer.Writer):
    """The engine's writer, and the time until everything is written."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        begun = time.perf_counter()
        async with super().running():
            yield
        raise Over(time.perf_counter() - begun)


class DirectWriter(writer.Writer):
    """A writer without a journal and without an order."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._asked: list[RequestLine] = []
        self._answered: list[Record] = []
        self._log = LineFile(self._requests.path.with_name("responses.jsonl"))
        begun = time.perf_counter()
        yield
        self.flush()
        raise Over(time.perf_counter() - begun)

    def put_request(self, line: RequestLine) -> None:
        self._asked.append(line)

    def put(self, record: Record) -> None:
        self._answered.append(record)
        if len(self._answered) >= writer.BATCH:
            self.flush()

    def flush(self) -> None:
        self._requests.write(encode_lines(self._asked))
        self._log.write(encode_lines(self._answered))
        self._asked, self._answered = [], []


def measure(scale: Scale) -> list[Figure]:
    return [
        _cost(scale, "cost_in_order", count=scale.pick(200_000, quick=1_000), median_s=0.0),
        _cost(scale, "cost_out_of_order", count=scale.pick(20_000, quick=1_000), median_s=0.001),
    ]


def _cost(scale: Scale, name: str, *, count: int, median_s: float) -> Figure:
    dataset = workload.dialogues(scale, count)
    full, direct = alternate(
        scale.runs,
        partial(_seconds, scale, dataset, median_s=median_s, direct=False),
        partial(_seconds, scale, dataset, median_s=median_s, direct=True),
    )
    lost = [1 - share for share in ratios(direct, full)]
    return median(name, lost, at_most=COST, note=f"share of the throughput; {count:,} dialogues")


def _seconds(scale: Scale, dataset: Path, *, median_s: float, direct: bool) -> float:
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        seconds: float = fresh(calling, dataset=dataset, output_dir=folder, median_s=median_s, direct=direct).value
    return seconds


def calling(*, dataset: str, output_dir: str, median_s: float, direct: bool) -> float:
    asked = workload.experiment(dataset, concurrency=WORKERS, median_s=median_s, sigma=1.0 if median_s else 0.0)
    vars(open_run)["Writer"] = DirectWriter if direct else TimedWriter  # in this process only, which ends with this run
    try:
        workload.run_seconds(asked, output_dir=output_dir)
    except Over as over:
        return over.seconds
    raise AssertionError("the run did not use the writer that it was given")
