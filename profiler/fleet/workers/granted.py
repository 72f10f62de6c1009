"""The ranges that were handed to a worker, and when it wants another one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from profiler.engine.agenda import Turn
from profiler.fleet.messages import Want

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.fleet.messages import Grant, Report
    from profiler.fleet.workers.range_candidate import RangeCandidate
    from profiler.manifest.settings import Experiment


class Granted:
    """The ranges that were handed to this worker. It wants another one when there is room."""

    def __init__(self, experiment: Experiment, *, send: Callable[[Report], None]) -> None:
        self.candidates: dict[int, RangeCandidate] = {}  # those that are open, by their first index
        self._experiment = experiment
        self._send = send
        self._ready: deque[Grant] = deque()
        self._wanted = False
        self._over = False

    @property
    def empty(self) -> bool:
        return self._over and not self._ready

    def take(self, has_room: Callable[[Experiment], bool]) -> Turn | None:
        if not has_room(self._experiment):
            return None
        if self._ready:
            grant = self._ready.popleft()
            return Turn(msgspec.structs.replace(self._experiment, experiment_id=str(grant.first)))
        if not (self._wanted or self._over):
            self._wanted = True
            self._send(Want())
        return None

    def add(self, candidate: RangeCandidate, grant: Grant) -> None:
        self.candidates[grant.first] = candidate
        self._ready.append(grant)
        self._wanted = False

    def finish(self) -> None:
        self._over = True
