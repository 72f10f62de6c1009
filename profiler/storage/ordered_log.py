"""responses.jsonl, which follows the journal in the order of the dataset while the run goes on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

import aiofiles
import anyio

from profiler.core.errors import StorageError
from profiler.core.json import dump_line, loads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from profiler.storage.reorder import Order

BLOCK = 1 << 20
LINGER_S = 0.25
CLOSING_S = 60.0


class OrderedLog:
    """The file, with the fields that the manifest keeps."""

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
            # As in `LineFile`: after an error the file still ends with a whole line.
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


class Follower:
    """Takes what was written to the journal, and writes the lines whose turn has come in large blocks."""

    def __init__(self, order: Order, log: OrderedLog) -> None:
        self.log = log
        self.failed = False
        self._order = order
        self._kept = anyio.Event()
        self._plenty = anyio.Event()

    def offer(self, indexes: list[int], block: bytes, *, offset: int) -> None:
        """Take a block of lines that has just been written to the journal."""
        self._order.offer(indexes, block, offset=offset)
        self._kept.set()
        if self._order.held >= BLOCK:
            self._plenty.set()

    async def follow(self) -> None:
        """Write until cancelled. A short block waits a while for more to come."""
        while True:
            await self._kept.wait()
            self._kept = anyio.Event()
            with anyio.move_on_after(LINGER_S):
                await self._plenty.wait()
            self._plenty = anyio.Event()
            with anyio.CancelScope(shield=True):  # a write runs in a thread, which goes on when its task is cancelled
                await self.catch_up()

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
