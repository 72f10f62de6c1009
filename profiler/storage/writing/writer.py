"""The queue between the workers and the disk, and the tasks that empty it.

Workers put request lines and records here without waiting. One turn of the event loop later (or five milliseconds after
the last write, when much comes in) they are in requests.jsonl and the journal; responses.jsonl follows in dataset
order. A record counts as done once it is in the journal.
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
    from profiler.storage.line_file import LineFile
    from profiler.storage.writing.journal_file import JournalFile
    from profiler.storage.writing.ordered_log import Follower

BATCH = 256
GATHER_S = 0.005  # least time between two writes, so that blocks are large
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
        """Write everything queued. Requests go first, so that no answer stands without its question."""
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
        """The run ends because of the disk, but what was paid for is kept if the journal still takes it.

        Resuming writes the request line of an answer that has none.
        """
        records, self._records_waiting = self._records_waiting, []
        if records and not self._journal.failed:
            with suppress(StorageError):  # the first error is the one to report
                self._journal.append(_lines_of(records), [record.index for record in records], rescue=True)

    def _keep(self, records: list[Record]) -> None:
        """Append records to the journal; from there on they count as done."""
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
        """Wait until there is room in the queue; workers do so when it is `full`.

        One of them goes on in each turn of the event loop. So a turn takes no longer than one batch, however many
        workers a client that never waits keeps busy.
        """
        turn = anyio.Event()
        self._parked.append(turn)
        self._queued.set()
        self._hurry.set()
        await turn.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the tasks. On leaving, everything queued is written, unless the disk refuses.

        What ends well is not forced to the device here: whoever completes the run does that.
        """
        async with self._responses.log:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._flush_soon, tasks)
                    yield
                    tasks.cancel_scope.cancel()
                await self._lay_out()  # everything: a run is complete only with its logs
            except BaseException:
                with anyio.move_on_after(CLOSING_S, shield=True):
                    await self._leave()  # after a failure as much as possible; the journal has the rest
                raise
            finally:
                self._responses.forget_timer()
                self._journal.forget_timer()

    async def _leave(self) -> None:
        """Write what came in since the last turn, even when responses.jsonl cannot follow."""
        if self._failed:
            self._rescue()
            return
        await self._lay_out()
        await self._journal.sync_the_rest()

    async def _lay_out(self) -> None:
        self.flush()
        await self._responses.catch_up()

    def _wake(self) -> None:
        self._queued.set()

    async def _flush_soon(self, tasks: anyio.abc.TaskGroup) -> None:
        flushed = 0.0
        while True:
            await self._queued.wait()
            if not self._parked and (early := flushed + GATHER_S - time.monotonic()) > 0:
                with anyio.move_on_after(early):
                    await self._hurry.wait()
            self._queued, self._hurry = anyio.Event(), anyio.Event()
            self.flush()
            self._responses.write_if_due(tasks, wake=self._wake)
            self._journal.sync_if_due(tasks, wake=self._wake)
            flushed = time.monotonic()
            self.full = False
            if self._parked:
                self._parked.popleft().set()
                self._queued.set()


def _lines_of(records: list[Record]) -> bytes:
    """Encode records. One that cannot be written is replaced by an error record, and the others are not affected."""
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
