"""The ids of many dialogues, by place: kept as text in blocks, for a string object each would take five times the memory."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import chain, repeat
from operator import eq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BETWEEN = "\n"
PARTS = 128  # a dictionary of one stays in the cache of a core


class DialogueIds:
    """Ids in the order in which they came."""

    def __init__(self) -> None:
        self._blocks: list[str | list[str]] = []
        self._starts: list[int] = []
        self._size = 0
        self._opened: tuple[int, list[str]] = (-1, [])
        self.last: str | None = None

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place: int) -> str:
        block = bisect_right(self._starts, place) - 1
        if self._opened[0] != block:
            self._opened = block, self._ids_of(block)
        return self._opened[1][place - self._starts[block]]

    def add(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        text = BETWEEN.join(ids)
        self._blocks.append(text if text.count(BETWEEN) == len(ids) - 1 else list(ids))
        self._starts.append(self._size)
        self._size += len(ids)
        self.last = ids[-1]

    def same_as(self, other: DialogueIds) -> bool:
        """Whether these are the same ids in the same order."""
        return len(self) == len(other) and (self._blocks == other._blocks or all(map(eq, self, other)))

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(map(self._ids_of, range(len(self._blocks))))

    def _ids_of(self, block: int) -> list[str]:
        found = self._blocks[block]
        return found.split(BETWEEN) if isinstance(found, str) else found


def places_of(wanted: DialogueIds, among: DialogueIds) -> array[int]:
    """For each id that is wanted its place among others, -1 where it is not there.

    Hashes of 64 bits stand for the ids, which no two of many millions share by chance. One dictionary of them all would
    take twice the memory of everything else, so they are looked up in parts.
    """
    found = array("q", [-1]) * len(wanted)
    for (there, at), (here, places) in zip(_in_parts(among), _in_parts(wanted), strict=True):
        place_of = dict(zip(there, at, strict=True))
        for place, each in zip(places, map(place_of.get, here, repeat(-1)), strict=True):
            found[place] = each
    return found


def _in_parts(ids: DialogueIds) -> list[tuple[array[int], array[int]]]:
    """Hashes and places, by the last bits of the hash."""
    parts = [(array("q"), array("I")) for _ in range(PARTS)]
    adding = [(hashes.append, places.append) for hashes, places in parts]
    for place, each in enumerate(map(hash, ids)):
        add_hash, add_place = adding[each % PARTS]
        add_hash(each)
        add_place(place)
    return parts
