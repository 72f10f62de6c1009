"""A file as it is at one moment, for whoever reads it more than once: what is written to it later does not count, and it
stays readable when it loses its name.
"""

from __future__ import annotations

import errno
import io
import os
import weakref
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

BUFFER: Final = 1 << 16
TOO_MANY_OPEN: Final = frozenset({errno.EMFILE, errno.ENFILE})


class PinnedFile:
    """Opens like a path, as often as one likes, always with the same content. Raises OSError where there is no file.

    Where this process may open no more files it is read by its name after all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in TOO_MANY_OPEN:
                raise
            self.size = path.stat().st_size
        else:
            weakref.finalize(self, os.close, self._fd)
            self.size = os.fstat(self._fd).st_size

    def __str__(self) -> str:
        return str(self.path)

    def is_file(self) -> bool:
        return True

    def open(self, mode: str = "rb", buffering: int = BUFFER) -> io.BufferedReader:
        assert mode == "rb"  # noqa: S101 (a program that asks for more is wrong)
        raw = _UpTo(self, self._fd) if self._fd is not None else self.path.open("rb", buffering=0)
        return io.BufferedReader(raw, buffering)


if TYPE_CHECKING:
    Log = Path | PinnedFile


class _UpTo(io.RawIOBase):
    """Reads a pinned file up to the size that it had. Each reader has a position of its own."""

    def __init__(self, file: PinnedFile, fd: int) -> None:
        self._file = file  # which would be closed without it
        self._fd = fd
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # what BufferedReader passes
        read = os.pread(self._fd, max(0, min(len(buffer), self._file.size - self._at)), self._at)
        buffer[: len(read)] = read
        self._at += len(read)
        return len(read)
