"""The queue between the workers and the disk, and the two tasks that empty it.

Request lines and records come in from workers, without waiting. Requests and the journal are on disk one turn
of the event loop later, or when much comes five milliseconds after the write before; responses.jsonl follows
in dataset order, in large blocks. A record counts as done once it is in the journal. Knows nothing of clients,
requests or metrics.
"""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Literal, Self

import aiofiles
import anyio
import msgspec

from profiler.core.errors import StorageError
from profiler.core.json import dump_line, encode_lines, loads
from profiler.core.nouns import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from profiler.core.nouns import Record, RequestLine
    from profiler.storage.line_file import LineFile
    from profiler.storage.reorder import Order

Fsync = Literal["interval", "always", "off"]
BLOCK = 1 << 20
BATCH = 256
GATHER_S = 0.005
LINGER_S = 0.25
FSYNC_INTERVAL_S = 1.0
CLOSING_S = 60.0
UNWRITABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)


class Writer:
    """Takes records in any order, keeps them at once, and lays them out in dataset order."""

    def __init__(
        self, *, requests: LineFile, journal: LineFile, order: Order, responses: OrderedLog, fsync: Fsync
    ) -> None:
        self._requests = requests
        self._journal = journal
        self._order = order
        self._responses = responses
        self._fsync: Fsync = fsync
        self._requests_waiting: list[RequestLine] = []
        self._records_waiting: list[Record] = []
        self.full = False
        self._parked: deque[anyio.Event] = deque()
        self._queued = anyio.Event()
        self._hurry = anyio.Event()
        self._kept = anyio.Event()
        self._plenty = anyio.Event()
        self._unsynced = anyio.Event()
        self._failed = False
        self._journal_failed = False
        self._behind = False
        self.done = 0

    def put_request(self, line: RequestLine) -> None:
        if not self._requests_waiting:
            self._queued.set()
        self._requests_waiting.append(line)

    def put(self, record: Record) -> None:
        records = self._records_waiting
        if not records:
            self._queued.set()
        records.append(record)
        if len(records) >= BATCH:
            self.full = True

    def flush(self) -> None:
        """Keep everything queued: requests first, so that no answer stands without its question."""
        requests, self._requests_waiting = self._requests_waiting, []
        if requests:
            try:
                self._requests.write(encode_lines(requests))
            except StorageError:
                self._failed = True
                self._rescue()
                raise
        records, self._records_waiting = self._records_waiting, []
        if records:
            self._keep(records)

    def _rescue(self) -> None:
        """The run ends, but what was paid for is kept: resuming writes the question of an answer that has none."""
        records, self._records_waiting = self._records_waiting, []
        if records and not self._journal_failed:
            with suppress(StorageError):  # the first error is the one to tell
                self._to_journal(_lines_of(records), sync=self._fsync != "off")

    def _to_journal(self, block: bytes, *, sync: bool) -> None:
        try:
            self._journal.write(block)
            if sync:
                self._journal.sync()
        except StorageError:
            self._failed = self._journal_failed = True
            raise

    def _keep(self, records: list[Record]) -> None:
        """Once in the journal, a record counts as done."""
        block = _lines_of(records)
        offset = self._journal.size
        self._to_journal(block, sync=self._fsync == "always")
        self._order.offer([record.index for record in records], block, offset=offset)
        self.done += len(records)
        self._kept.set()
        self._unsynced.set()
        if self._order.held >= BLOCK:
            self._plenty.set()

    async def make_room(self) -> None:
        """Workers come here when the queue is `full`. One of them goes on in each turn of the event loop, so
        that a turn takes no longer than a batch, however many workers a client that never waits keeps busy."""
        turn = anyio.Event()
        self._parked.append(turn)
        self._queued.set()
        self._hurry.set()
        await turn.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs the tasks; leaving writes out all that is queued, unless the disk refuses."""
        async with self._responses:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._flush_soon)
                    tasks.start_soon(self._lay_out)
                    if self._fsync == "interval":
                        tasks.start_soon(self._sync)
                    yield
                    tasks.cancel_scope.cancel()
                await self._leave()  # all of it: a run is complete only with its logs
            finally:
                with anyio.move_on_after(CLOSING_S, shield=True):
                    await self._leave()  # after a failure as much as can be: the journal has the rest

    async def _leave(self) -> None:
        """Keep what came in since the last turn, also when responses.jsonl cannot follow."""
        if self._failed:
            self._rescue()
            return
        self.flush()
        if not self._behind:
            await self._lay_out_all()
        if self._fsync == "interval" and self._unsynced.is_set():
            self._unsynced = anyio.Event()
            await anyio.to_thread.run_sync(self._journal.sync)

    async def _flush_soon(self) -> None:
        flushed = 0.0
        while True:
            await self._queued.wait()
            if not self._parked and (early := flushed + GATHER_S - time.monotonic()) > 0:
                with anyio.move_on_after(early):
                    await self._hurry.wait()
            self._queued, self._hurry = anyio.Event(), anyio.Event()
            self.flush()
            flushed = time.monotonic()
            self.full = False
            if self._parked:
                self._parked.popleft().set()
                self._queued.set()

    async def _sync(self) -> None:
        while True:
            await self._unsynced.wait()
            self._unsynced = anyio.Event()
            try:
                await anyio.to_thread.run_sync(self._journal.sync)
            except StorageError:
                self._fsync = "off"  # the kernel may have dropped the pages: a second success would be a lie
                raise
            await anyio.sleep(FSYNC_INTERVAL_S)

    async def _lay_out(self) -> None:
        """Follow the journal in large blocks; a short one only when nothing more comes for a while."""
        while True:
            await self._kept.wait()
            self._kept = anyio.Event()
            with anyio.move_on_after(LINGER_S):
                await self._plenty.wait()
            self._plenty = anyio.Event()
            with anyio.CancelScope(shield=True):  # a write cut off half-way would go on in its thread
                await self._lay_out_all()

    async def _lay_out_all(self) -> None:
        try:
            while blocks := self._order.take(BLOCK):
                await self._responses.write(blocks)
        except StorageError:
            self._behind = True
            raise


def _lines_of(records: list[Record]) -> bytes:
    """A record that cannot be written down loses nothing but itself: it becomes an error record."""
    try:
        return encode_lines(records)
    except UNWRITABLE:
        return b"".join([_line_of(record) for record in records])


def _line_of(record: Record) -> bytes:
    try:
        return encode_lines([record])
    except UNWRITABLE as error:
        failure = Failure(type="unwritable", message=f"the record cannot be written down: {type(error).__name__}")
        lost = {"completion": None, "stop_reason": None, "model": None, "usage": None, "request_id": None}
        return encode_lines(
            [msgspec.structs.replace(record, **lost, type="error", error=failure, replies=msgspec.UNSET)]
        )


class OrderedLog:
    """responses.jsonl: records in dataset order, projected to the fields that the manifest asks for."""

    def __init__(self, path: Path, *, size: int, fields: tuple[str, ...] | None) -> None:
        self._path = path
        self._size = size
        self._project = _projection(fields)
        self._file: aiofiles.threadpool.binary.AsyncFileIO | None = None

    async def write(self, blocks: list[bytes]) -> None:
        block = b"".join(blocks)
        if self._project is not None:
            block = b"".join([self._project(line) for line in block.splitlines()])
        try:
            await self._append(block)
        except OSError as error:
            raise StorageError(self._path, error) from error
        self._size += len(block)

    async def _append(self, block: bytes) -> None:
        if self._file is None:
            self._file = await aiofiles.open(self._path, "ab", buffering=0)
        written = 0
        try:
            while written < len(block):
                written += await self._file.write(block[written:] if written else block)
        except OSError:
            os.truncate(self._path, self._size + block.rfind(b"\n", 0, written) + 1)
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._file is not None:
            with anyio.move_on_after(CLOSING_S, shield=True):
                await self._file.close()


def _projection(fields: tuple[str, ...] | None) -> Callable[[bytes], bytes] | None:
    if fields is None:
        return None

    def project(line: bytes) -> bytes:
        record = loads(line)
        return dump_line({field: record[field] for field in fields if field in record})

    return project
