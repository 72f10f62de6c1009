"""Ends calls that take too long.

One timer serves all workers of a pool, because a timer for each call would cost more than most calls to the mock.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Self

import anyio

if TYPE_CHECKING:
    from profiler.engine.calls.job import Job


class Worker:
    """What a worker is doing: its job, the moment its call must end, and the scope by which it is ended (`late`)."""

    __slots__ = ("call_ends", "job", "late", "scope")

    def __init__(self) -> None:
        self.job: Job | None = None
        self.call_ends = math.inf
        self.late = False
        self.scope = anyio.CancelScope()

    def end_call(self) -> None:
        self.late = True
        self.scope.cancel()

    def begin_again(self) -> None:
        self.late = False
        self.scope = anyio.CancelScope()


class Deadlines:
    """Ends calls at their deadlines, with one timer for all workers.

    Calls that begin later also end later, unless the deadline of their dialogue comes first. So the timer is set to the
    earliest end, and is set anew before that only for such a call.
    """

    def __init__(self) -> None:
        self.workers: set[Worker] = set()
        self.next_look = math.inf
        self._timer: asyncio.Handle | None = None

    @property
    def calling(self) -> int:
        return sum(worker.call_ends != math.inf for worker in self.workers)

    def look_at(self, moment: float) -> None:
        """Set the timer to this moment: a call must end then, earlier than those that the timer was set for."""
        if self._timer is not None:
            self._timer.cancel()
        self.next_look = moment
        self._timer = asyncio.get_running_loop().call_later(max(0.0, moment - time.monotonic()), self._time_is_up)

    def _time_is_up(self) -> None:
        """A reply that arrives in this very turn of the event loop is still taken: it is paid for."""
        self._timer = asyncio.get_running_loop().call_soon(self.end_late_calls)

    def end_late_calls(self) -> None:
        now, following = time.monotonic(), math.inf
        for worker in self.workers:
            if worker.call_ends <= now:
                worker.end_call()
            elif worker.call_ends < following:
                following = worker.call_ends
        self.next_look = math.inf
        if following != math.inf:
            self.look_at(following)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
