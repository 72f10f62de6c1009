"""Finds workers that say nothing any more: they are stopped, hang in code of the user's own, or cannot be reached.

It counts its own looks and not seconds. While the coordinator itself was stopped (Ctrl-Z, a suspended machine) nobody could be
heard, and that is not the workers' fault.
"""

from __future__ import annotations

import time
from typing import Final

LOOK_EVERY_S: Final = 1.0
BEGIN_WITHIN: Final = 300  # looks: code of the user's own may take its time to load
END_WITHIN: Final = 5  # looks after which one that was ended, and does not say so, counts as lost all the same


class Watchdog:
    """A healthy worker says something several times between two looks. `patience` is how many looks one may be silent."""

    def __init__(self, *, patience: int) -> None:
        self.patience = patience
        self._silent: dict[int, int] = {}  # for how many looks
        self._begun: set[int] = set()
        self._looked_at = time.monotonic()

    def expect(self, worker: int) -> None:
        self._silent[worker] = 0

    def heard(self, worker: int) -> None:
        self._silent[worker] = 0
        self._begun.add(worker)

    def forget(self, worker: int) -> None:
        self._silent.pop(worker, None)

    def look(self) -> tuple[list[int], list[int]]:
        """Which workers must be ended now because they are silent, and which are still there long after they were ended."""
        if time.monotonic() < self._looked_at + LOOK_EVERY_S:
            return [], []
        self._looked_at = time.monotonic()
        hanging, unreachable = [], []
        for worker in self._silent:
            self._silent[worker] += 1
            patience = self.patience if worker in self._begun else max(self.patience, BEGIN_WITHIN)
            if self._silent[worker] == patience + 1:
                hanging.append(worker)
            elif self._silent[worker] > patience + END_WITHIN:
                unreachable.append(worker)
        return hanging, unreachable
