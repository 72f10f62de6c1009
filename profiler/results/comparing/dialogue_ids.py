"""The ids of many dialogues, by place: kept as text in blocks, for a string object each would take five times the memory."""

from __future__ import annotations

from bisect import bisect_right
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BETWEEN = "\n"


class DialogueIds:
    """Ids in the order in which they came."""

    def __init__(self) -> None:
        self._blocks: list[str | list[str]] = []
        self._starts: list[int] = []
        self._size = 0
        self._opened: tuple[int, list[str]] = (-1, [])
        self._places: dict[str, int] = {}
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

    def go_on_with(self, ids: Sequence[str], start: int) -> bool:
        """Whether just these stand from `start` on, as far as that is quickly seen: in one block."""
        block = bisect_right(self._starts, start) - 1
        return (
            0 <= start < self._size and self._starts[block] == start and self._blocks[block] in (BETWEEN.join(ids), ids)
        )

    def place_of(self, dialogue_id: str) -> int:
        """-1 where there is none. All ids are looked at when the first is asked for."""
        if not self._places:
            self._places = dict(zip(self, range(self._size), strict=True))
        return self._places.get(dialogue_id, -1)

    def forget_places(self) -> None:
        self._places = {}

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(map(self._ids_of, range(len(self._blocks))))

    def _ids_of(self, block: int) -> list[str]:
        found = self._blocks[block]
        return found.split(BETWEEN) if isinstance(found, str) else found
