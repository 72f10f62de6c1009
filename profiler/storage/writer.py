"""The queue between the workers and the disk, and the tasks that empty it.

Request lines and records come in from workers, without waiting. Requests and the journal are on disk one turn of the
event loop later, or when much comes five milliseconds after the write before; responses.jsonl follows in dataset order.
A record counts as done once it is in the journal.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio
import msgspec

from profiler.core.errors import StorageError
from profiler.core.json import encode_lines
from profiler.core.nouns import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from profiler.core.nouns import Record, RequestLine
    from profiler.storage.journal_file import JournalFile
    from profiler.storage.line_file import LineFile
    from profiler.storage.ordered_log import Follower

BATCH = 256
GATHER_S = 0.005
CLOSING_S = 60.0
UNWRITABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)


class Writer:
    """Takes records in any order, keeps them at once, and lays them out in dataset order."""

    def __init__(self, *, requests: LineFile, journal: JournalFile, responses: Follower) -> None:
        self.full = False
        self.done = 0
        self._requests = requests
        self._journal = journal
        self._responses = responses
        self._requests_waiting: list[RequestLine] = []
        self._records_waiting: list[Record] = []
        self._parked: deque[anyio.Event] = deque()
        self._queued = anyio.Event()
        self._hurry = anyio.Event()
        self._failed = False

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
        if records and not self._journal.failed:
            with suppress(StorageError):  # the first error is the one to tell
                self._journal.append(_lines_of(records), [record.index for record in records], rescue=True)

    def _keep(self, records: list[Record]) -> None:
        """Once in the journal, a record counts as done."""
        block, indexes = _lines_of(records), [record.index for record in records]
        offset = self._journal.size
        try:
            self._journal.append(block, indexes)
        except StorageError:
            self._failed = True
            raise
        self.done += len(records)
        self._responses.offer(indexes, block, offset=offset)

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
        async with self._responses.log:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._flush_soon)
                    tasks.start_soon(self._responses.follow)
                    tasks.start_soon(self._journal.sync_now_and_then)
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
        await self._responses.catch_up()
        await self._journal.sync_the_rest()

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
