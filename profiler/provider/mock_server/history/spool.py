"""Bytes that are written once and read again: in memory while they are few, then in a file that nobody else sees."""

from __future__ import annotations

import os
import tempfile
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_MEMORY = 1 << 20
PIECE = 64 << 10


class Spool:
    """Grows at its end. Its file has no name, and is gone with the object or the process, however that ends."""

    def __init__(self, *, in_memory: int = IN_MEMORY) -> None:
        self._in_memory = in_memory
        self._memory = bytearray()
        self._file: int | None = None
        self.size = 0

    def append(self, data: bytes) -> None:
        if self._file is None and self.size + len(data) > self._in_memory:
            self._move_to_disk()
        if self._file is None:
            self._memory += data
        else:
            _write_all(self._file, data, at=self.size)
        self.size += len(data)

    def read(self, offset: int, size: int) -> bytes:
        if self._file is None:
            return bytes(self._memory[offset : offset + size])
        return os.pread(self._file, size, offset)

    def pieces(self) -> Iterator[bytes]:
        """All of it, for who sends it on piece by piece."""
        for offset in range(0, self.size, PIECE):
            yield self.read(offset, PIECE)

    def _move_to_disk(self) -> None:
        file, path = tempfile.mkstemp(prefix="profiler-mock-server-")
        os.unlink(path)  # noqa: PTH108 (the descriptor is all that is kept)
        weakref.finalize(self, os.close, file)
        _write_all(file, self._memory, at=0)
        self._file = file
        self._memory = bytearray()


def _write_all(file: int, data: bytes | bytearray, *, at: int) -> None:
    """A write may be short, on a disk that is nearly full; the next one then says why."""
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written
