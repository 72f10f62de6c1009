"""How a number is spread: counts in buckets, for histograms and cumulative curves."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

WIDTH: Final = 1.02  # a bucket ends at this many times its beginning
_PER_LOG: Final = 1 / math.log(WIDTH)


class Spread:
    """Counts of values from 0 on. Ten values or ten million take the same memory."""

    def __init__(self) -> None:
        self.zeros = 0
        self.buckets: Counter[int] = Counter()
        self.least = math.inf
        self.most = 0.0

    def add(self, value: float) -> None:
        if value <= 0:
            self.zeros += 1
        else:
            self.buckets[math.floor(math.log(value) * _PER_LOG)] += 1
        self.least = min(self.least, value)
        self.most = max(self.most, value)

    def as_json(self) -> dict[str, Any]:
        return {
            "n": self.zeros + self.buckets.total(),
            "zeros": self.zeros,
            "least": self.least,
            "most": self.most,
            "buckets": sorted(self.buckets.items()),
        }
