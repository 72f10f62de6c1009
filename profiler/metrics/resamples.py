"""A bootstrap over dialogues for percentiles, whose state is whole numbers, merges exactly, and does not grow with the run.

Where dialogues are asked several times their answers are no independent values, so dialogues are drawn, not answers. In
each of 512 resamples a dialogue counts double or not at all ("double or nothing", Owen & Eckles 2012): with mean and
variance 1, like the counts of drawing with replacement. Its part in each resample follows from its id alone, so the order
of answers and the division into shards change nothing. For each bucket of the histogram one large integer holds the
counts of all resamples side by side, 32 bits each: one addition counts an answer in all of them.
"""

from __future__ import annotations

import math
from array import array
from hashlib import shake_128
from itertools import accumulate
from typing import Any, Final

RESAMPLES: Final = 512
COUNT_BYTES: Final = 4  # so at most 2^32 answers
TAIL: Final = 0.025

_SPREAD: Final = [
    b"".join((byte >> bit & 1).to_bytes(COUNT_BYTES, "little") for bit in range(8)) for byte in range(256)
]


def drawn(dialogue_id: str) -> int:
    """In which resamples this dialogue is: one number for each, 1 or 0."""
    bits = shake_128(dialogue_id.encode("utf-8", "surrogatepass")).digest(RESAMPLES // 8)
    return int.from_bytes(b"".join([_SPREAD[byte] for byte in bits]), "little")


class Resamples:
    """How often each bucket was met in each resample."""

    __slots__ = ("_cells", "_drawn", "_first", "_last", "dialogues")

    def __init__(self) -> None:
        self.dialogues = 0
        self._cells: dict[int, int] = {}
        self._first: str | None = None
        self._last: str | None = None  # the answers to one dialogue come one after the other
        self._drawn = 0

    def add(self, dialogue_id: str, bucket: int) -> None:
        if dialogue_id != self._last:
            if self._last is None:
                self._first = dialogue_id
            self._last, self._drawn = dialogue_id, drawn(dialogue_id)
            self.dialogues += 1
        self._cells[bucket] = self._cells.get(bucket, 0) + self._drawn

    def merge(self, other: Resamples) -> None:
        """Add what another shard has counted. A dialogue that was cut in two by the shards counts once."""
        for bucket, counts in other._cells.items():
            self._cells[bucket] = self._cells.get(bucket, 0) + counts
        if other.dialogues:
            self.dialogues += other.dialogues - (self._last == other._first)
            self._first = other._first if self._first is None else self._first
            self._last, self._drawn = other._last, other._drawn

    def as_json(self) -> dict[str, Any] | None:
        """The large integers in base 16, which is read a hundred times as fast as base 10; None where nothing was added."""
        if not self.dialogues:
            return None
        cells = {str(bucket): f"{counts:x}" for bucket, counts in self._cells.items()}
        return {"dialogues": self.dialogues, "first": self._first, "last": self._last, "cells": cells}

    @staticmethod
    def from_json(found: dict[str, Any] | None) -> Resamples:
        made = Resamples()
        if found is not None:
            made.dialogues, made._first, made._last = found["dialogues"], found["first"], found["last"]
            made._drawn = drawn(found["last"])
            made._cells = {int(bucket): int(counts, 16) for bucket, counts in found["cells"].items()}
        return made

    def interval(self, q: float) -> tuple[int, int] | None:
        """The buckets between which the q-quantile lies in 95 of 100 resamples."""
        buckets = sorted(self._cells)
        counts = list(accumulate(self._cells[bucket] for bucket in buckets))
        if not counts:
            return None
        wanted = [max(1, math.ceil(q * total - 1e-9)) for total in _unpacked(counts[-1])]
        drawn_at_all = sum(total > 0 for total in _unpacked(counts[-1]))

        def first_where(share: float) -> int:
            low, high = 0, len(buckets) - 1
            while low < high:
                middle = (low + high) // 2
                reached = sum(map(int.__ge__, _unpacked(counts[middle]), wanted))
                low, high = (low, middle) if reached >= share * drawn_at_all else (middle + 1, high)
            return buckets[low]

        return first_where(TAIL), first_where(1 - TAIL)


def _unpacked(counts: int) -> array[int]:
    return array("I", counts.to_bytes(RESAMPLES * COUNT_BYTES, "little"))
