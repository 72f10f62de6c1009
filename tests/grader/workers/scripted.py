"""Workers that live in the test itself: what each says to an assignment is for the test to decide."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from grader.workers.messages import Assignment, Done, Ready, as_line, assignment_of, report_of
from profiler.fleet.drivers.driver import Lost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from grader.workers.calls import Hire
    from grader.workers.messages import Report

    Says = Callable[[int, Assignment], Sequence[Report | Lost]]


class Scripted:
    """What is said passes through bytes, as it does between processes. The newest report is heard first with
    `last_first`."""

    patience_s = 60.0

    def __init__(
        self, says: Says, *, begins: Callable[[int], Report | Lost] = lambda _: Ready(), last_first: bool = False
    ) -> None:
        self.started: list[int] = []
        self.told: list[tuple[int, int]] = []  # a worker, and the number of what it was given
        self._says = says
        self._begins = begins
        self._last_first = last_first
        self._said: list[tuple[int, Report | Lost]] = []

    def start(self, worker: int) -> None:
        self.started.append(worker)
        self._said.append((worker, self._begins(worker)))

    async def poll(self) -> tuple[int, Report | Lost]:
        assert self._said, "it waits for workers that have nothing to do"
        worker, said = self._said.pop(-1 if self._last_first else 0)
        return worker, said if isinstance(said, Lost) else report_of(as_line(said))

    def tell(self, worker: int, command: Assignment) -> None:
        assignment = assignment_of(as_line(command))
        self.told.append((worker, assignment.number))
        self._said += [(worker, said) for said in self._says(worker, assignment)]

    def lose(self, worker: int, lost: Lost) -> None:
        self._said.append((worker, lost))

    def stop(self, worker: int) -> None:
        raise AssertionError("nothing is to be stopped")


def calls(function: Callable[[bytes], bytes]) -> Says:
    return lambda _, assignment: [Done(number=assignment.number, found=function(assignment.given))]


def hires(workers: Scripted) -> Hire:
    @asynccontextmanager
    async def hire() -> AsyncIterator[Scripted]:
        yield workers

    return hire
