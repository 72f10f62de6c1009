"""The ids of many dialogues, by place: kept as text in blocks, for a string object each would take five times the memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from itertools import chain
from operator import eq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BETWEEN = "\n"
ALL_BITS = (1 << 64) - 1


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

    Hashes of 64 bits stand for the ids, which no two of many millions share by chance, in the order of their leading bits
    with the place in the others: a dictionary would take six times the memory.
    """
    bits = len(among).bit_length()
    hashes = array("Q", map(ALL_BITS.__and__, map(hash, among)))
    ordered = array("Q", sorted((each >> bits << bits) | place for place, each in enumerate(hashes)))
    places, last = (1 << bits) - 1, len(hashes)
    found = array("q")
    for each in map(ALL_BITS.__and__, map(hash, wanted)):
        leading = each >> bits
        at = bisect_left(ordered, leading << bits)
        while at < last and ordered[at] >> bits == leading:
            if hashes[ordered[at] & places] == each:
                found.append(ordered[at] & places)
                break
            at += 1
        else:
            found.append(-1)
    return found
