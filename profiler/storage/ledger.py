"""The ledger: the money of dialogues that have not ended, written down before it can be spent.

The journal tells what every dialogue that ended has cost. The ledger has a place for each dialogue under way, with what
its calls have cost so far and the worst case of the one in flight. The file is mapped into memory, so that writing a
place costs as little as setting a variable and still outlives the process. After a kill, a place whose dialogue has no
record in the journal counts as it stands: its call was sent, or may have been. A power cut is another matter: the file
reaches the device together with the journal, at most a second late.
"""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from profiler.core.errors import LogError, Problem, StorageError
from profiler.storage.money import Money
from profiler.storage.names import LEDGER
from profiler.storage.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

MAGIC = b"ledger 2"
HEAD = struct.Struct("<8sqqqq")  # magic; paid, maybe, cut off; size of the journal when the session began
# A place: maybe, paid, hold, and the index of the dialogue plus one (0: the place is free). A kill may come when half of
# it is written. Money moves from hold to paid or maybe, and from paid to maybe, so written in this order half a place
# counts some of it twice rather than not at all.
PLACE = struct.Struct("<qqqq")
AMOUNTS = struct.Struct("<qqq")
INDEX = struct.Struct("<q")
FIRST_PLACES = 256


class Underway(NamedTuple):
    """A dialogue that was under way when a session ended; `dialogue` is its index."""

    dialogue: int
    paid: int
    maybe: int
    hold: int


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger of an earlier session recorded. `carried` is what the sessions before it cost that no record of the
    journal shows."""

    carried: Money
    journal_size: int
    underway: tuple[Underway, ...]

    def settled(self, answered: Callable[[int], bool]) -> Money:
        """What is carried on after the journal has been read: a record that did reach it tells its own cost."""
        cut = [each for each in self.underway if not answered(each.dialogue)]
        return self.carried + Money(
            spent=sum(each.paid for each in cut),
            maybe=sum(each.maybe + each.hold for each in cut),
            cut_off=len(cut),
        )


def read(folder: Path) -> Left | None:
    path = folder / LEDGER
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _no_ledger(path, error.strerror or str(error)) from error
    if len(content) < HEAD.size or not content.startswith(MAGIC) or (len(content) - HEAD.size) % PLACE.size:
        raise _no_ledger(path, f"{len(content)} bytes that say something else")
    _, paid, maybe, cut_off, journal_size = HEAD.unpack_from(content)
    places = PLACE.iter_unpack(content[HEAD.size :])
    return Left(
        carried=Money(paid, maybe, cut_off),
        journal_size=journal_size,
        underway=tuple(Underway(index - 1, paid, maybe, hold) for maybe, paid, hold, index in places if index),
    )


def _no_ledger(path: Path, found: str) -> LogError:
    hint = "remove it if what was in flight may be forgotten, or start over with --fresh"
    return LogError([Problem(path=str(path), message=f"found no ledger: {found}", hint=hint)])


def begin(folder: Path, carried: Money, *, journal_size: int, places: int = FIRST_PLACES) -> None:
    """Write the ledger for a session that begins, with no dialogue under way."""
    head = HEAD.pack(MAGIC, carried.spent, carried.maybe, carried.cut_off, journal_size)
    write_whole(folder / LEDGER, head + bytes(places * PLACE.size))


class Ledger:
    """The ledger of the current session."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LEDGER
        self._places: dict[int, int] = {}  # of a dialogue: where its place begins
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            self._map = mmap.mmap(self._fd, 0)
        except OSError as error:
            raise StorageError(self._path, error) from error
        self._free = list(range(HEAD.size, len(self._map), PLACE.size))[::-1]

    def enter(self, index: int, *, hold: int) -> int:
        """Give a place to a dialogue that is about to make its first call, whose worst case is `hold`."""
        if not self._free:
            self._grow()
        place = self._places[index] = self._free.pop()
        # The index is last in the place, so half of this write is still a free place; the call leaves only afterwards.
        PLACE.pack_into(self._map, place, 0, 0, hold, index + 1)
        return place

    def write(self, place: int, *, paid: int, maybe: int, hold: int) -> None:
        """Write what a dialogue has cost so far, and the worst case of its call: before the call leaves, and when it
        has ended."""
        AMOUNTS.pack_into(self._map, place, maybe, paid, hold)

    def leave(self, index: int) -> None:
        """Nothing of the dialogue can have been billed, so its place is free again."""
        self.recorded([index])

    def recorded(self, indexes: Iterable[int]) -> None:
        """The records of these dialogues are in the journal and tell their money, so their places are free again."""
        pop, clear, free, places = self._places.pop, INDEX.pack_into, self._free.append, self._map
        for index in indexes:
            if (place := pop(index, None)) is not None:
                clear(places, place + AMOUNTS.size, 0)
                free(place)

    def sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise StorageError(self._path, error) from error

    def close(self) -> None:
        self._map.close()
        try:
            os.close(self._fd)
        except OSError as error:
            raise StorageError(self._path, error) from error

    def _grow(self) -> None:
        """Double the number of places.

        The new ones are written, not made by stretching the file: writing to mapped memory for which the disk has no
        room left would crash the process.
        """
        size = len(self._map)
        more = bytes(size // PLACE.size * PLACE.size)
        try:
            written = 0
            while written < len(more):
                written += os.pwrite(self._fd, more[written:], size + written)
            self._map.close()
            self._map = mmap.mmap(self._fd, 0)
        except OSError as error:
            with suppress(OSError):
                os.truncate(self._fd, size)
            raise StorageError(self._path, error) from error
        self._free = list(range(size, len(self._map), PLACE.size))[::-1]
