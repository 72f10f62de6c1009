"""An append-only file that always ends in a whole line, whatever the disk does.

When the disk takes only a part of a block, the file is cut back to its last whole line before the error is raised.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from profiler.core.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path


CLOSED = -1  # as a descriptor: its number may belong to another file by now


class LineFile:
    """Appends blocks of whole lines. It has no buffer of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unsynced = False  # something was written since the file was last forced to the device, and could be forced
        self._lost = False  # the device has failed once
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self.size = os.fstat(self.fd).st_size
        except OSError as error:
            raise StorageError(path, error) from error

    def write(self, block: bytes) -> None:
        self.unsynced, written = not self._lost, 0
        try:
            while written < len(block):
                written += os.write(self.fd, block[written:] if written else block)
        except OSError as error:
            self.cut(self.size + block.rfind(b"\n", 0, written) + 1)
            raise StorageError(self.path, error) from error
        self.size += written

    def cut(self, size: int) -> None:
        try:
            os.ftruncate(self.fd, size)
        except OSError as error:
            raise StorageError(self.path, error) from error
        self.size = size

    def sync(self) -> None:
        """Force the file to the device. A failure is final: the kernel may have dropped the data already."""
        self.unsynced = False  # before it: what is written meanwhile may come too late for it
        try:
            os.fdatasync(self.fd) if hasattr(os, "fdatasync") else os.fsync(self.fd)
        except OSError as error:
            self.unsynced, self._lost = False, True
            raise StorageError(self.path, error) from error

    def close(self) -> None:
        """Close the file, if it is open. It is closed even when the system reports that something could not be written."""
        fd, self.fd = self.fd, CLOSED
        if fd == CLOSED:
            return
        try:
            os.close(fd)
        except OSError as error:
            raise StorageError(self.path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def end_of_line(path: Path, number: int) -> int:
    """The offset where the first `number` lines end."""
    with path.open("rb") as file:
        return sum(len(line) for _, line in zip(range(number), file, strict=False))
