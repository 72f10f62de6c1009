"""Quantiles of times from counts, which merge exactly and take the same memory for ten values or ten million."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import Any, Final

from profiler.metrics.intervals import FIXED_BITS

RELATIVE_ERROR: Final = 0.0049
LARGEST_VALUE: Final = 1e12
_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)  # a bucket ends at this many times its beginning
_PER_LOG: Final = 1 / math.log(_GAMMA)
_FIXED_ONE: Final = float(1 << FIXED_BITS)
_ZEROS: Final = -(1 << 31)  # below the bucket of any positive number


def bucket_of(value: float) -> int:
    return math.ceil(math.log(value) * _PER_LOG) if value > 0 else _ZEROS


class Histogram:
    """Counts of values in buckets of equal relative width; quantiles are right within 0.5 %.

    All counts are integers, so the order of adding and merging does not matter.
    """

    __slots__ = ("_buckets", "_maximum", "_minimum", "_positive", "_total", "_zeros")

    def __init__(self) -> None:
        self._zeros = 0
        self._positive = 0
        self._minimum = math.inf
        self._maximum = -math.inf
        self._total = 0
        self._buckets: Counter[int] = Counter()

    def update(self, values: list[float]) -> None:
        """Add all values, or none of them when one is not a plausible number."""
        positive = [value for value in values if 0 < value <= LARGEST_VALUE]
        # Zeros have no logarithm, so they have a count of their own; NaN is neither positive nor zero and is caught
        # below.
        zeros = values.count(0.0) if len(positive) < len(values) else 0
        if len(positive) + zeros < len(values):
            wrong = next(value for value in values if not 0 <= value <= LARGEST_VALUE)
            raise ValueError(f"a number from 0 to {LARGEST_VALUE:g} is expected, found {wrong!r}")
        self._zeros += zeros
        self._positive += len(positive)
        self._buckets.update([math.ceil(math.log(value) * _PER_LOG) for value in positive])
        self._total += sum([int(value * _FIXED_ONE) for value in positive])
        self._minimum = min([self._minimum, *positive])
        self._maximum = max([self._maximum, *positive])

    def merge(self, other: Histogram) -> None:
        self._positive += other._positive
        self._zeros += other._zeros
        self._total += other._total
        self._buckets.update(other._buckets)
        self._minimum = min(self._minimum, other._minimum)
        self._maximum = max(self._maximum, other._maximum)

    def as_json(self) -> dict[str, Any]:
        bounds = [self._minimum, self._maximum] if self._positive else None
        buckets = {str(bucket): count for bucket, count in self._buckets.items()}
        return {"zeros": self._zeros, "bounds": bounds, "total": self._total, "buckets": buckets}

    @staticmethod
    def from_json(found: dict[str, Any]) -> Histogram:
        histogram = Histogram()
        histogram._zeros, histogram._total = found["zeros"], found["total"]
        histogram._minimum, histogram._maximum = found["bounds"] or (math.inf, -math.inf)
        histogram._buckets.update({int(bucket): count for bucket, count in found["buckets"].items()})
        histogram._positive = histogram._buckets.total()
        return histogram

    @property
    def n(self) -> int:
        return self._positive + self._zeros

    @property
    def mean(self) -> float | None:
        return self._total / (self.n << FIXED_BITS) if self.n else None

    @property
    def total(self) -> float:
        return self._total / (1 << FIXED_BITS)

    def quantile(self, q: float) -> float | None:
        """The value of rank ⌈q·n⌉, without interpolation; `q` = 1 is the exact maximum."""
        # 0.95 * 20 is a little more than 19 in floating point
        return self.at_rank(max(1, math.ceil(q * self.n - 1e-9))) if self.n else None

    def at_rank(self, rank: int) -> float:
        """The value of this rank, from 1 for the smallest."""
        if rank <= self._zeros:
            return 0.0
        rank -= self._zeros
        if rank == 1:
            return self._minimum
        if rank >= self._positive:
            return self._maximum
        ordered = sorted(self._buckets)
        seen = list(accumulate(self._buckets[bucket] for bucket in ordered))
        return self.within(ordered[bisect_left(seen, rank)])

    def within(self, bucket: int) -> float:
        """The value that stands for a bucket."""
        if bucket == _ZEROS:
            return 0.0
        # The value within the bucket whose relative distance to both of its ends is the same.
        middle = 2 * math.exp(bucket / _PER_LOG) / (1 + _GAMMA)
        return min(max(middle, self._minimum), self._maximum)
