"""Runs side by side: one row for each item, with what each run has of it."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from profiler.storage.reading.item import Item
    from profiler.storage.reading.saved_run import SavedRun

    Key = tuple[str, int]
    Row = list[Item | None]


def rows_of(runs: Sequence[SavedRun], *, search_path: Path | None = None) -> Iterator[Row]:
    """The items of the first run in dataset order, each with its partners in the other runs; then the items that only
    later runs have.

    Memory stays flat where all runs have the same order, as runs over the same dataset do.
    """
    first, *others = runs
    partners = [_Partners(run, search_path) for run in others]
    for item in first.items(search_path=search_path):
        yield [item, *(each.take((item.dialogue_id, item.repeat)) for each in partners)]
    for place, each in enumerate(partners):
        for item in each.rest():
            key = (item.dialogue_id, item.repeat)
            later = [other.take(key) for other in partners[place + 1 :]]
            earlier: list[Item | None] = [None] * (place + 1)
            yield [*earlier, item, *later]


class _Partners:
    """The items of one run, handed out by key in about the order in which they are stored."""

    def __init__(self, run: SavedRun, search_path: Path | None) -> None:
        self._items = run.items(search_path=search_path)
        self._known = _hashes(run)
        self._passed: dict[Key, Item] = {}

    def take(self, key: Key) -> Item | None:
        if (found := self._passed.pop(key, None)) is not None:
            return found
        if not self._has(key):  # otherwise one missing item would pull the whole run into memory
            return None
        for item in self._items:
            here = (item.dialogue_id, item.repeat)
            if here == key:
                return item
            self._passed[here] = item
        return None

    def rest(self) -> Iterator[Item]:
        yield from self._passed.values()
        yield from self._items

    def _has(self, key: Key) -> bool:
        hashed = _hash(*key)
        place = bisect_left(self._known, hashed)
        return place < len(self._known) and self._known[place] == hashed


def _hashes(run: SavedRun) -> array[int]:
    """Eight bytes an item, sorted."""
    records = run.responses() if run.complete else (item.record for item in run.items())
    return array("Q", sorted(array("Q", (_hash(each["dialogue_id"], each.get("repeat", 0)) for each in records))))


def _hash(dialogue_id: str, repeat: int) -> int:
    return int.from_bytes(blake2b(f"{repeat} {dialogue_id}".encode(), digest_size=8).digest(), "little")
