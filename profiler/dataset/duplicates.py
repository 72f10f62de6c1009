"""Finds keys that occur twice among any number of keys, in constant memory.

It returns the few hashes that occurred more than once; the caller must confirm them, as two keys may share a hash.

Each key becomes a hash of 64 bits in one of 256 buckets. Equal keys fall into the same bucket, so each bucket can be
checked alone. When memory is full, the buckets are written to a nameless temporary file and start again empty.
"""

from __future__ import annotations

import tempfile
from array import array
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, NamedTuple, Self

from profiler.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_BUCKETS = 256
_WIDTH = 8
HELD = 1 << 17  # hashes in memory, 1 MB
MAX_SUSPECTS = 1 << 16


class Suspects(NamedTuple):
    """`repeats` counts every use of a hash after its first; `hashes` names only so many."""

    hashes: frozenset[int]
    repeats: int


class Duplicates:
    """Call `add` for every key, and then `suspects` once."""

    def __init__(self, *, held: int = HELD) -> None:
        self._limit = held
        self._buckets = [array("q") for _ in range(_BUCKETS)]
        self._spilled: IO[bytes] | None = None
        self._starts: list[array[int]] = []
        self._room = held

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._spilled is not None:
            self._spilled.close()

    def add(self, key: str) -> None:
        value = hash(key)
        self._buckets[value & 255].append(value)
        self._room -= 1
        if not self._room:
            self._spill()

    def suspects(self) -> Suspects:
        hashes: set[int] = set()
        repeats = 0
        for number in range(_BUCKETS):
            bucket = self._whole(number)
            excess = len(bucket) - len(set(bucket))
            repeats += excess
            if excess and len(hashes) < MAX_SUSPECTS:
                hashes.update(_repeated(bucket))
        return Suspects(frozenset(hashes), repeats)

    def save(self, path: Path) -> list[int]:
        """Write all hashes down, for `any_twice`; returns how many are in each bucket. None may have left memory yet.

        Processes whose hashes are compared must hash alike: they share PYTHONHASHSEED.
        """
        with path.open("wb") as file:
            file.writelines(self._buckets)
        return [len(bucket) for bucket in self._buckets]

    def _spill(self) -> None:
        try:
            if self._spilled is None:
                self._spilled = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
            self._starts.append(_offsets(self._spilled.tell(), self._buckets))
            self._spilled.write(b"".join(self._buckets))
        except OSError as error:
            place = tempfile.gettempdir()
            reason = error.strerror or error
            raise UsageError(
                f"{place}: cannot keep a temporary file for finding duplicate ids: {reason}",
                hint="make room there, or set TMPDIR to a directory with room (8 bytes a dialogue)",
            ) from error
        self._buckets = [array("q") for _ in range(_BUCKETS)]
        self._room = self._limit

    def _whole(self, number: int) -> array[int]:
        whole = array("q", self._buckets[number])
        if self._spilled is not None:
            for starts in self._starts:
                self._spilled.seek(starts[number])
                whole.frombytes(self._spilled.read(starts[number + 1] - starts[number]))
        return whole


def any_twice(saved: Sequence[tuple[Path, list[int]]]) -> bool:
    """Whether a hash occurs twice in all these files together."""
    with ExitStack() as opened:
        files = [(opened.enter_context(path.open("rb")), sizes) for path, sizes in saved]
        for number in range(_BUCKETS):
            bucket: array[int] = array("q")
            for file, sizes in files:
                bucket.frombytes(file.read(_WIDTH * sizes[number]))
            if len(set(bucket)) < len(bucket):
                return True
    return False


def _offsets(begin: int, buckets: list[array[int]]) -> array[int]:
    offsets = array("q", [begin])
    for bucket in buckets:
        offsets.append(offsets[-1] + _WIDTH * len(bucket))
    return offsets


def _repeated(bucket: array[int]) -> Iterator[int]:
    seen: set[int] = set()
    for value in bucket:
        if value in seen:
            yield value
        seen.add(value)
