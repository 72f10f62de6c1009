"""Which dialogues a report shows when there are more than it can hold."""

from __future__ import annotations

import heapq
import math
import random
from typing import TYPE_CHECKING, Any, Final

from profiler.results.comparing.measured_run import COMPLETION
from profiler.results.report.verdict import FLIPS, MEASURES, change, perfect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from profiler.metrics.metric import Better
    from profiler.results.report.side_by_side import Row

MOST_SHOWN: Final = 100_000
WORST_SHARE: Final = 0.01
SEED: Final = 0
WORST: Final = {name: f"worst {name}" for name in MEASURES}


class Selection:
    """Takes every row once and keeps the numbers of those to show.

    Errors, refusals and flips come first, then the worst hundredth of each measure. Each kind has an equal share of the
    room, and a seeded draw decides where it has too many. What is left of the room is a seeded sample of all.
    """

    def __init__(self, *, expected: int, better: Mapping[str, Better], room: int = MOST_SHOWN) -> None:
        self.rows = 0
        self._room = room
        self._better = better
        self._worst_of_all = max(1, math.ceil(expected * WORST_SHARE))
        self._kinds: dict[str, _Best] = {}
        self._draw = random.Random(SEED).random  # noqa: S311 (a sample, no secret)
        self._sample = _Best(room)
        # errors, refusals, flips, the measures and the scores, and as much again for the sample
        self._share = room // (3 + len(MEASURES) + len(better) + 1)

    def add(self, row: Row, measures: Sequence[Mapping[str, float | None]]) -> None:
        number, lot = self.rows, self._draw()
        self.rows += 1
        self._sample.offer((lot, 0.0), number)
        for kind in kinds_of(row, self._better):
            self._kind(kind, self._share).offer((lot, 0.0), number)
        for kind, badness in self._badness(row, measures):
            self._kind(kind, min(self._share, self._worst_of_all)).offer((badness, lot), number)

    def _kind(self, name: str, size: int) -> _Best:
        if name not in self._kinds:
            self._kinds[name] = _Best(size)
        return self._kinds[name]

    def _badness(self, row: Row, measures: Sequence[Mapping[str, float | None]]) -> list[tuple[str, float]]:
        found = [(WORST[name], value) for each in measures for name, value in each.items() if value is not None]
        for item in row:
            if item is None:
                continue
            for name, score in item.scores.items():
                if (
                    score is not None
                    and name in self._better
                    and name != COMPLETION
                    and not perfect(name, score, self._better)
                ):
                    found.append((f"worst {name}", -score if self._better[name] == "higher" else score))
        return found

    def chosen(self) -> list[int] | None:
        """The numbers of the rows to show, in order; None when there is room for all."""
        if self.rows <= self._room:
            return None
        numbers: set[int] = set()
        for kept in self._kinds.values():
            numbers |= kept.numbers()
        for number in self._sample.in_order():
            if len(numbers) >= self._room:
                break
            numbers.add(number)
        return sorted(numbers)

    def as_json(self) -> list[dict[str, Any]]:
        """Of each kind, how many there are; those that are the worst of a measure, how many of them are kept."""
        return [
            {"kind": name, "total": kept.offered if not name.startswith("worst ") else len(kept.numbers())}
            for name, kept in self._kinds.items()
        ]


def kinds_of(row: Row, better: Mapping[str, Better]) -> list[str]:
    types = {item.type for item in row if item is not None}
    kinds = [name for name, wanted in (("errors", "error"), ("refusals", "refusal")) if wanted in types]
    if any(change(row[0], new, better) in FLIPS for new in row[1:]):
        kinds.append("flips")
    return kinds


class _Best:
    """The numbers with the greatest priorities, so many of them."""

    def __init__(self, size: int) -> None:
        self.offered = 0
        self._size = size
        self._heap: list[tuple[tuple[float, float], int]] = []

    def offer(self, priority: tuple[float, float], number: int) -> None:
        self.offered += 1
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, (priority, number))
        elif self._heap and priority > self._heap[0][0]:
            heapq.heapreplace(self._heap, (priority, number))

    def numbers(self) -> set[int]:
        return {number for _, number in self._heap}

    def in_order(self) -> list[int]:
        return [number for _, number in sorted(self._heap, reverse=True)]
