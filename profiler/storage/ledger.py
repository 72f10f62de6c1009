"""The money of dialogues that have not ended, written down before it can be spent.

The journal tells what every dialogue that ended has cost. This file tells the rest: it has a place for each dialogue on
its way, with what its calls have cost so far and the worst case of the one that is in flight. It is mapped into memory,
so that writing a place costs as little as setting a variable and still outlives the process. After a kill, a place whose
dialogue has no record in the journal counts as it stands: that call was sent, or may have been, and nothing else was.

A power cut is another matter: the file reaches the device with the journal, at most a second late.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from profiler.core.errors import LogError, Problem, StorageError
from profiler.storage.names import LEDGER
from profiler.storage.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAGIC = b"ledger 2"
HEAD = struct.Struct("<8sqqqq")  # magic; paid, maybe, cut off; size of the journal when the session began
# A place: maybe, paid, hold, and the index of the dialogue plus one (0: the place is free). A kill may come when half of it
# is written. In this order that tells too much rather than too little: money moves from hold to paid or maybe, and from
# paid to maybe.
PLACE = struct.Struct("<qqqq")
AMOUNTS = struct.Struct("<qqq")
INDEX = struct.Struct("<q")
FIRST_PLACES = 256


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What earlier sessions cost that no record of the journal shows, in pico-dollars; and how many dialogues were cut
    off on the way, all sessions together."""

    paid: int = 0
    maybe: int = 0
    cut_off: int = 0


class Underway(NamedTuple):
    """A dialogue that was on its way when a session ended, by its index."""

    dialogue: int
    paid: int
    maybe: int
    hold: int


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger of an earlier session says."""

    carried: Carried
    journal_size: int
    underway: tuple[Underway, ...]

    def settled(self, answered: Callable[[int], bool]) -> Carried:
        """What is carried on, once the journal has been read: an answer that reached it late tells its own cost."""
        cut = [each for each in self.underway if not answered(each.dialogue)]
        return Carried(
            paid=self.carried.paid + sum(each.paid for each in cut),
            maybe=self.carried.maybe + sum(each.maybe + each.hold for each in cut),
            cut_off=self.carried.cut_off + len(cut),
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
        carried=Carried(paid=paid, maybe=maybe, cut_off=cut_off),
        journal_size=journal_size,
        underway=tuple(Underway(index - 1, paid, maybe, hold) for maybe, paid, hold, index in places if index),
    )


def _no_ledger(path: Path, found: str) -> LogError:
    hint = "remove it if what was in flight may be forgotten, or start over with --fresh"
    return LogError([Problem(path=str(path), message=f"found no ledger: {found}", hint=hint)])


def begin(folder: Path, carried: Carried, *, journal_size: int, places: int = FIRST_PLACES) -> None:
    """Write the ledger of a session that begins: nothing is on its way yet."""
    head = HEAD.pack(MAGIC, carried.paid, carried.maybe, carried.cut_off, journal_size)
    write_whole(folder / LEDGER, head + bytes(places * PLACE.size))


class Ledger:
    """The ledger of the session that is going on."""

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
        """A place for a dialogue that is about to make its first call, with the worst case of that call."""
        if not self._free:
            self._grow()
        place = self._places[index] = self._free.pop()
        PLACE.pack_into(self._map, place, 0, 0, hold, index + 1)
        return place

    def write(self, place: int, *, paid: int, maybe: int, hold: int) -> None:
        """What a dialogue has cost so far, and the worst case of its call in flight: before it leaves, and after."""
        AMOUNTS.pack_into(self._map, place, maybe, paid, hold)

    def leave(self, index: int) -> None:
        """Its record is in the journal and tells its money."""
        place = self._places.pop(index, None)
        if place is not None:
            INDEX.pack_into(self._map, place + AMOUNTS.size, 0)
            self._free.append(place)

    def sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise StorageError(self._path, error) from error

    def close(self) -> None:
        self._map.close()
        os.close(self._fd)

    def _grow(self) -> None:
        """Twice the places. Written rather than stretched: memory without room on the disk behind it is a crash."""
        size = len(self._map)
        more = bytes(size // PLACE.size * PLACE.size)
        try:
            written = 0
            while written < len(more):
                written += os.pwrite(self._fd, more[written:], size + written)
        except OSError as error:
            os.truncate(self._fd, size)
            raise StorageError(self._path, error) from error
        self._map.close()
        self._map = mmap.mmap(self._fd, 0)
        self._free = list(range(size, len(self._map), PLACE.size))[::-1]
