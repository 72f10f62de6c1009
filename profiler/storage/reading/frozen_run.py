"""A run as it is at one moment, for whoever reads it several times while it may go on or end."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from profiler.core.errors import LogError
from profiler.storage.reading.saved_run import SavedRun

if TYPE_CHECKING:
    from profiler.storage.reading.unfinished import Unfinished
    from profiler.storage.reading.unfinished_fleet import UnfinishedFleet

LOOKS: Final = 3  # the first finds neither journal nor summary where a run ends just then


class FrozenRun(SavedRun):
    """Gives every reader the same answers, however often it is read and whatever happens to the run meanwhile."""

    complete = False  # which is looked at once, not each time

    def __init__(self, run: SavedRun) -> None:
        super().__init__(run.folder)
        self._kept: Unfinished | UnfinishedFleet | None = None
        for _ in range(LOOKS):
            self.complete = run.complete
            try:
                self._kept = run.begun()
            except LogError:
                if run.complete == self.complete:
                    raise
            if self._kept is not None or self.complete:
                return

    def begun(self) -> Unfinished | UnfinishedFleet | None:
        return self._kept

    @cached_property
    def summary(self) -> dict[str, Any]:
        return super().summary


def frozen(run: SavedRun) -> FrozenRun:
    return run if isinstance(run, FrozenRun) else FrozenRun(run)
