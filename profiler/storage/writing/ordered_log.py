"""responses.jsonl, which follows the journal in the order of the dataset while the run goes on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

import aiofiles.threadpool
import anyio

from profiler.core.errors import StorageError
from profiler.core.json import dump_line, loads
from profiler.storage.writing.linger import Linger

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO
    from pathlib import Path

    from anyio.abc import TaskGroup

    from profiler.storage.writing.reorder import Order

BLOCK = 1 << 20
AT_ONCE = 1 << 16  # a block up to this size is in the page cache before a thread would have begun with it
TOLD_ALWAYS = ("reused_from", "reused_cost_usd")  # a reader of a cost of 0 has to know that it was paid before
LINGER_S = 0.25


class OrderedLog:
    """The file, with the fields that the manifest keeps."""

    def __init__(self, path: Path, *, size: int, fields: tuple[str, ...] | None) -> None:
        self._path = path
        self._size = size
        self._project = _projection(fields)
        self._file: FileIO | None = None

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
            self._file = self._path.open("ab", buffering=0)
        beside = aiofiles.threadpool.wrap(self._file) if len(block) > AT_ONCE else None
        written = 0
        try:
            while written < len(block):
                rest = block[written:] if written else block
                written += self._file.write(rest) if beside is None else await beside.write(rest)
        except OSError:
            # As in `LineFile`: after an error the file still ends with a whole line.
            os.truncate(self._path, self._size + block.rfind(b"\n", 0, written) + 1)
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _projection(fields: tuple[str, ...] | None) -> Callable[[bytes], bytes] | None:
    if fields is None:
        return None
    kept = dict.fromkeys((*fields, *TOLD_ALWAYS))

    def project(line: bytes) -> bytes:
        record = loads(line)
        return dump_line({field: record[field] for field in kept if field in record})

    return project


class Follower:
    """Takes what was written to the journal, and writes the lines whose turn has come in large blocks."""

    def __init__(self, order: Order, log: OrderedLog) -> None:
        self.log = log
        self.failed = False
        self._order = order
        self._more = False  # lines have come since the last write began
        self._writing = False
        self._linger = Linger()

    def offer(self, indexes: list[int], block: bytes, *, offset: int) -> None:
        """Take a block of lines that has just been written to the journal."""
        self._order.offer(indexes, block, offset=offset)
        self._more = True

    def write_if_due(self, tasks: TaskGroup, *, wake: Callable[[], None]) -> None:
        """Begin to write, in a task, if there is much to write. Little waits a while for more, and then `wake` is
        called: it must ask again."""
        if self._writing or not self._more:
            return
        if self._linger.over or self._order.held >= BLOCK:
            self._linger.forget()
            self._writing = True
            tasks.start_soon(self._write, tasks, wake)
        else:
            self._linger.begin(LINGER_S, wake=wake)

    def forget_timer(self) -> None:
        self._linger.forget()

    async def _write(self, tasks: TaskGroup, wake: Callable[[], None]) -> None:
        self._more = False
        with anyio.CancelScope(shield=True):  # a write runs in a thread, which goes on when its task is cancelled
            await self.catch_up()
        self._writing = False
        self.write_if_due(tasks, wake=wake)

    async def catch_up(self) -> None:
        """Write everything whose turn has come. After an error nothing more is written: the journal has it all."""
        if self.failed:
            return
        try:
            while blocks := self._order.take(BLOCK):
                await self.log.write(blocks)
        except StorageError:
            self.failed = True
            raise
