"""Puts lines that arrive in the order of completion into the order of the dataset.

A line that is ahead of its turn waits in memory while there is room. Beyond that it waits on disk: the journal has its
bytes already, so only its place there is noted, in a nameless file with one slot for each dialogue. So a dialogue that
stalls for the whole run costs disk, not memory.
"""

from __future__ import annotations

import os
import struct
import tempfile
from typing import TYPE_CHECKING, Self

from profiler.core.errors import StorageError

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

SLOT = struct.Struct("<QI")  # offset and size of a line in the journal; size 0: nothing there yet
SLOTS_AT_ONCE = 4096
IN_MEMORY = 3 << 20
READ_AHEAD = 1 << 20


class Order:
    """Journal lines on their way into dataset order; `next` is the index whose turn it is."""

    def __init__(self, journal_fd: int, *, folder: Path, first: int = 0, in_memory: int = IN_MEMORY) -> None:
        self.next = first
        self.held = 0
        self._in_memory = in_memory
        self._runs: dict[int, tuple[int, bytes]] = {}  # in memory: first index → number of neighbours, their lines
        self._late: list[tuple[int, int, int]] = []  # noted, but not in their slots yet: index, offset, size
        self._spilled = 0
        self._folder = folder
        self._slots: FileIO | None = None  # made when it is first needed: most runs keep their order
        self._journal = _BlockReader(journal_fd)

    def offer(self, indexes: list[int], block: bytes, *, offset: int) -> None:
        """Take a block of lines, one for each index, that was just written to the journal at `offset`.

        Lines that are neighbours in the dataset too, as most are, stay in one piece.
        """
        if indexes == list(range(indexes[0], indexes[0] + len(indexes))) and self.held + len(block) <= self._in_memory:
            self._hold(indexes[0], len(indexes), block)
            return
        for index, line in zip(indexes, block.splitlines(keepends=True), strict=True):
            size = len(line)
            if self.held + size <= self._in_memory:
                self._hold(index, 1, line)
            else:
                self.note(index, offset=offset, size=size)
            offset += size

    def _hold(self, first: int, count: int, lines: bytes) -> None:
        self._runs[first] = count, lines
        self.held += len(lines)

    def note(self, index: int, *, offset: int, size: int) -> None:
        """Remember only where a line stands in the journal. `settle` writes that to disk."""
        self._late.append((index, offset, size))
        if len(self._late) >= SLOTS_AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Write the noted places to their slots, neighbours in one write."""
        late, self._late = sorted(self._late), []
        self._spilled += len(late)
        start = 0
        for place in range(1, len(late) + 1):
            if place == len(late) or late[place][0] != late[place - 1][0] + 1:
                block = b"".join(SLOT.pack(offset, size) for _, offset, size in late[start:place])
                self._write(block, at=late[start][0] * SLOT.size)
                start = place

    def _write(self, block: bytes, *, at: int) -> None:
        written = 0
        try:
            if self._slots is None:
                self._slots = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 (closed with the order)
            while written < len(block):
                written += os.pwrite(self._slots.fileno(), block[written:], at + written)
        except OSError as error:
            raise StorageError(self._folder, error) from error

    def take(self, most: int) -> list[bytes]:
        """The lines whose turn it is, in blocks, about `most` bytes of them."""
        taken: list[bytes] = []
        size = 0
        while size < most:
            run = self._runs.pop(self.next, None)
            if run is None:
                break
            count, lines = run
            self.next += count
            taken.append(lines)
            size += len(lines)
        self.held -= size
        if size < most and (self._spilled or self._late):
            taken += self._take_spilled(most - size)
        return taken

    def _take_spilled(self, most: int) -> list[bytes]:
        if self._late:
            self.settle()
        assert self._slots is not None  # noqa: S101 (what was spilled is in it)
        taken: list[bytes] = []
        block = os.pread(self._slots.fileno(), SLOTS_AT_ONCE * SLOT.size, self.next * SLOT.size)
        for offset, size in SLOT.iter_unpack(block[: len(block) // SLOT.size * SLOT.size]):
            if not size or most <= 0:
                break
            taken.append(self._journal.read(offset, size))
            most -= size
        self.next += len(taken)
        self._spilled -= len(taken)
        return taken

    def close(self) -> None:
        if self._slots is not None:
            self._slots.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _BlockReader:
    """Reads lines at known offsets, a large block at a time: neighbours in the journal are mostly neighbours in the
    dataset."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._start = 0
        self._block = b""

    def read(self, offset: int, size: int) -> bytes:
        begin = offset - self._start
        if begin < 0 or begin + size > len(self._block):
            self._block = os.pread(self._fd, max(READ_AHEAD, size), offset)
            self._start, begin = offset, 0
        return self._block[begin : begin + size]
