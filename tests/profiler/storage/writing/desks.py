"""A writer over real files that note what is asked of them."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from profiler.core.errors import StorageError
from profiler.storage.line_file import LineFile
from profiler.storage.writing.journal_file import JournalFile
from profiler.storage.writing.ordered_log import Follower, OrderedLog
from profiler.storage.writing.reorder import Order
from profiler.storage.writing.writer import Writer
from tests.profiler.building import line_of, request_line

if TYPE_CHECKING:
    from profiler.core.nouns import Record
    from profiler.storage.writing.journal_file import Fsync


class NotedFile(LineFile):
    """A real file that notes what was asked of it, in a list that several share."""

    def __init__(self, path: Path, notes: list[str]) -> None:
        super().__init__(path)
        self.notes = notes
        self.broken_device = False

    def write(self, block: bytes) -> None:
        self.notes.append(f"write {self.path.name}")
        super().write(block)

    def sync(self) -> None:
        self.notes.append(f"sync {self.path.name}")
        if self.broken_device:
            raise StorageError(self.path, OSError(errno.EIO, "Input/output error"))
        super().sync()


def open_files() -> set[Path]:
    """Whatever this process holds open."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the others
            found.add(link.readlink())
    return found


class Desk:
    """A writer over real files in a folder of their own."""

    def __init__(
        self,
        folder: str | Path,
        *,
        fsync: Fsync = "off",
        fields: tuple[str, ...] | None = None,
        in_memory: int = 1 << 20,
        laid_out: bytes = b"",
    ) -> None:
        self.folder = Path(folder)
        self.turns = 0
        self.notes: list[str] = []
        self.requests = NotedFile(self.folder / "requests", self.notes)
        self.journal = NotedFile(self.folder / "journal", self.notes)
        self.order = Order(self.journal.fd, folder=self.folder, in_memory=in_memory)
        (self.folder / "responses").write_bytes(laid_out)
        log = OrderedLog(self.folder / "responses", size=len(laid_out), fields=fields)
        self.writer = Writer(
            requests=self.requests,
            journal=JournalFile(self.journal, fsync=fsync),
            responses=Follower(self.order, log),
        )

    def content(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def put(self, *records: Record) -> None:
        for one in records:
            self.writer.put_request(request_line(one.index))
            self.writer.put(one)

    def close(self) -> None:
        self.order.close()
        self.requests.close()
        self.journal.close()


def text_of(*records: Record) -> bytes:
    return b"".join(map(line_of, records))


def the_storage_error(caught: pytest.ExceptionInfo[ExceptionGroup[Any]]) -> StorageError:
    assert caught.group_contains(StorageError)
    (error,) = caught.value.exceptions
    assert isinstance(error, StorageError)
    return error


async def serve(desk: Desk, *records: Record, requests: bool = True, crash: bool = False) -> None:
    """A run that goes on until something ends it."""
    async with desk.writer.running():
        for one in records:
            if requests:
                desk.put(one)
            else:
                desk.writer.put(one)
        if crash:
            raise LookupError("a bug")
        await anyio.sleep_forever()


async def serve_and_leave(desk: Desk, *records: Record) -> None:
    async with desk.writer.running():
        desk.put(*records)
