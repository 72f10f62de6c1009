"""Ends calls that take too long.

One task watches all workers, because a timer for each call would cost more than most calls to the mock.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from profiler.engine.job import Job


class Worker:
    """What a worker is doing: its job, the moment its call must end, and the scope by which it is ended."""

    __slots__ = ("call_ends", "job", "scope")

    def __init__(self) -> None:
        self.job: Job | None = None
        self.call_ends = math.inf
        self.scope = anyio.CancelScope()


class Deadlines:
    """All workers, and the task that looks at them.

    Calls that begin later also end later, unless the deadline of their dialogue comes first. So the task sleeps until
    the earliest end, and is woken early only for such a call.
    """

    def __init__(self, *, timeout_s: float) -> None:
        self.workers: set[Worker] = set()
        self.next_look = math.inf
        self._timeout_s = timeout_s
        self._sooner = anyio.Event()

    @property
    def calling(self) -> int:
        return sum(worker.call_ends != math.inf for worker in self.workers)

    def look_sooner(self) -> None:
        """A call ends before the next look."""
        self._sooner.set()

    async def end_late_calls(self) -> None:
        """Runs beside the workers until it is cancelled."""
        while True:
            now = time.monotonic()
            for worker in self.workers:
                if worker.call_ends <= now:
                    worker.scope.cancel()
            self.next_look = min(
                (worker.call_ends for worker in self.workers if worker.call_ends > now), default=now + self._timeout_s
            )
            with anyio.move_on_after(self.next_look - now):
                await self._sooner.wait()
            self._sooner = anyio.Event()
