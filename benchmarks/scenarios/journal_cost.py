"""What the journal and the order cost: the same calls with a writer that has neither.

Without them, records go in completion order straight into one file, in blocks, and nobody syncs it; a kill would
lose what is in memory, and the log would have no order. Both sides share all the rest: the dataset, the planner, the
pool, the mock client and requests.jsonl. Measured is the calling phase until the last byte is written.

Twice: without latency, where records come in order anyway; and with a latency (log-normal, 1 ms) that mixes the order
up, with so many workers that the processor is the limit and not the waiting.
"""

from __future__ import annotations

import gc
import tempfile
import time
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import anyio

from benchmarks import workload
from benchmarks.figure import Figure, alternate, median, ratios
from benchmarks.process import fresh
from profiler import dataset, resume
from profiler.clients import MockClient
from profiler.codec import encode
from profiler.journal import FORMAT, Header
from profiler.linefile import LineFile
from profiler.plan import Planner, params_of
from profiler.pool import Pool
from profiler.writer import BATCH, OrderedLog, Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from benchmarks.figure import Scale
    from profiler.model import Record, Request
    from profiler.settings import Experiment

COST = 0.15
WORKERS = 1_000


class DirectWriter:
    """What is left of a writer without a journal and without an order."""

    full = False

    def __init__(self, folder: Path) -> None:
        self._requests = LineFile(folder / resume.REQUESTS)
        self._responses = LineFile(folder / resume.RESPONSES)
        self._asked: list[bytes] = []
        self._answered: list[bytes] = []
        self._bytes = 0

    def put_request(self, line: bytes) -> None:
        self._asked.append(line)
        self._count(line)

    def put(self, record: Record) -> None:
        line = encode(record) + b"\n"
        self._answered.append(line)
        self._count(line)

    def _count(self, line: bytes) -> None:
        self._bytes += len(line)
        if self._bytes >= BATCH:
            self.flush()

    def flush(self) -> None:
        self._requests.write(b"".join(self._asked))
        self._responses.write(b"".join(self._answered))
        self._asked, self._answered, self._bytes = [], [], 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield
        self.flush()


def measure(scale: Scale) -> list[Figure]:
    return [
        _cost(scale, "cost_in_order", count=scale.pick(100_000, quick=1_000), median_s=0.0),
        _cost(scale, "cost_out_of_order", count=scale.pick(50_000, quick=1_000), median_s=0.001),
    ]


def _cost(scale: Scale, name: str, *, count: int, median_s: float) -> Figure:
    path = workload.dialogues(scale, count)
    full, direct = alternate(
        scale.runs,
        partial(_seconds, scale, path, median_s=median_s, direct=False),
        partial(_seconds, scale, path, median_s=median_s, direct=True),
    )
    lost = [1 - share for share in ratios(direct, full)]
    return median(name, lost, at_most=COST, note=f"share of the throughput; {count:,} dialogues")


def _seconds(scale: Scale, path: Path, *, median_s: float, direct: bool) -> float:
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        seconds: float = fresh(calling, path=path, folder=folder, median_s=median_s, direct=direct).value
    return seconds


def calling(*, path: str, folder: str, median_s: float, direct: bool) -> float:
    asked = workload.experiment(path, concurrency=WORKERS, median_s=median_s, sigma=1.0 if median_s else 0.0)
    count = dataset.survey(path).count
    writer = cast("Writer", DirectWriter(Path(folder))) if direct else _writer(Path(folder), count)
    gc.collect()
    begun = time.perf_counter()
    anyio.run(_answer_all, asked, writer)
    return time.perf_counter() - begun


def _writer(folder: Path, count: int) -> Writer:
    standing = resume.open_standing(folder, Header(journal=FORMAT, count=count, identity={}, started=None))
    return Writer(
        requests=standing.requests,
        journal=standing.journal,
        order=standing.order,
        responses=OrderedLog(folder / resume.RESPONSES, size=0, fields=None),
        fsync="interval",
    )


async def _answer_all(asked: Experiment, writer: Writer) -> None:
    """The calling phase of `profiler.run`, with a writer of one's own."""
    planner = Planner(params_of(asked))
    pool = Pool(
        client=MockClient(asked.mock),
        planner=planner,
        writer=writer,
        concurrency=asked.concurrency,
        timeout_s=asked.timeout_s,
        retry=asked.retry,
        clock=lambda: 0.0,
    )
    async with writer.running():
        await pool.run(_logged(planner.plan(dataset.read(asked.dataset_path)), writer))


def _logged(requests: Iterator[Request], writer: Writer) -> Iterator[Request]:
    for request in requests:
        writer.put_request(request.line)
        yield request
