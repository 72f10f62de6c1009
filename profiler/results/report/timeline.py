"""What happened when: calls begun and ended, errors and retries, over the time of a run."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

MOST_BINS: Final = 160


class Timeline:
    """Counts in bins of equal width, which doubles when there are too many of them."""

    def __init__(self) -> None:
        self._width = 1 / 16
        self._begun, self._ended, self._errors, self._retries = (Counter[int]() for _ in range(4))
        self._last = 0.0

    def add(self, record: dict[str, Any]) -> None:
        """Records without the time of their end are passed over."""
        at = record.get("at_s")
        if not isinstance(at, (int, float)) or at < 0:
            return
        self._last = max(self._last, at)
        while self._last / self._width > MOST_BINS:
            self._widen()
        bin_ = int(at / self._width)
        self._begun[int(max(0, at - (record.get("latency_s") or 0)) / self._width)] += 1
        self._ended[bin_] += 1
        self._retries[bin_] += max(0, (record.get("attempts") or 1) - 1)
        if record["type"] == "error":
            self._errors[bin_] += 1

    def _widen(self) -> None:
        self._width *= 2
        for counts in (self._begun, self._ended, self._errors, self._retries):
            before = list(counts.items())
            counts.clear()
            for bin_, count in before:
                counts[bin_ // 2] += count

    def as_json(self) -> dict[str, Any] | None:
        if not self._ended:
            return None
        bins = range(int(self._last / self._width) + 1)
        in_flight, flying = [], 0
        for bin_ in bins:
            flying += self._begun[bin_]
            in_flight.append(flying)  # the most that may have been in flight within this bin
            flying -= self._ended[bin_]
        return {
            "width_s": self._width,
            "per_s": [round(self._ended[bin_] / self._width, 3) for bin_ in bins],
            "in_flight": in_flight,
            "errors": [self._errors[bin_] for bin_ in bins],
            "retries": [self._retries[bin_] for bin_ in bins],
        }
