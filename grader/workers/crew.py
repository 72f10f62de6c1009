"""Has a function called many times by workers, and says what each call found.

Each does one thing at a time. A worker that is lost takes what it was doing with it, and that is done again by another one.
Who kills three gets no fourth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

import anyio

from grader.workers.messages import Alive, Assignment, Done, Raised, Ready
from profiler.core.errors import ProfilerError
from profiler.fleet.coordination.watchdog import LOOK_EVERY_S, Watchdog
from profiler.fleet.drivers.driver import Lost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from grader.workers.messages import Report
    from profiler.fleet.drivers.driver import Workers

    Heard = Callable[[int, "bytes | Broken"], None]

TRIES: Final = 3


class Broken(NamedTuple):
    """A call that found nothing: `how` it ended, and the last lines that were said of it."""

    how: str
    lines: str = ""

    def __str__(self) -> str:
        return f"{self.how}; the last lines of its log:\n{self.lines}" if self.lines else self.how


class CrewFailed(ProfilerError):
    """Workers end before they have begun: there is something wrong here that is no submission's doing."""


class Crew:
    """So many workers. `ahead`: how far the calls may get ahead of the oldest that has not ended, for who has to keep what
    comes before its turn."""

    def __init__(self, workers: Workers[Assignment, Report], *, size: int, ahead: int | None = None) -> None:
        self._workers = workers
        self._size = size
        self._ahead = ahead
        self._started = 0
        self._ended_early = 0  # in a row
        self._gone: set[int] = set()
        self._doing: dict[int, Assignment | None] = {}  # of those who are ready: what each is doing
        self._again: list[Assignment] = []  # what was lost with a worker
        self._losses: dict[int, int] = {}  # how often each of those was lost
        self._numbers = 0
        self._all_given = False
        self._watchdog = Watchdog(patience=round(workers.patience_s / LOOK_EVERY_S))
        self._hanging: set[int] = set()

    async def run(self, function: str, given: Iterable[bytes], *, heard: Heard) -> None:
        """Call the function with each of `given`, which is asked for one when somebody can do it. `heard` is told what
        each call found, by its number from 0, in the order in which they end."""
        waiting = iter(given)
        for _ in range(self._size):
            self._start()
        while True:
            self._hand_out(function, waiting)
            if self._all_given and not self._open():
                return
            with anyio.move_on_after(LOOK_EVERY_S):
                self._hear(*await self._workers.poll(), heard)
            self._look_for_the_silent(heard)

    def _hear(self, worker: int, said: Report | Lost, heard: Heard) -> None:
        if worker in self._gone:
            return  # it was given up, and is there all the same
        if worker not in self._hanging:
            self._watchdog.heard(worker)
        match said:
            case Ready():
                self._doing[worker] = None
                self._ended_early = 0
            case Alive():
                pass
            case Done():
                self._doing[worker] = None
                heard(said.number, said.found)
            case Raised():
                self._doing[worker] = None
                heard(said.number, Broken("the grader has failed", said.lines))
            case Lost():
                self._lost(worker, said, heard)
            case _:
                assert_never(said)

    def _look_for_the_silent(self, heard: Heard) -> None:
        """One that hangs is ended, and then `Lost` is heard of it. One that cannot even be ended is lost without that. Who
        has not begun is not looked for: on a cluster it may wait for room."""
        hanging, unreachable = self._watchdog.look()
        for worker in hanging:
            self._hanging.add(worker)
            self._workers.stop(worker)
        for worker in unreachable:
            self._lost(worker, Lost("cannot be ended"), heard)

    def stop(self) -> None:
        """End all workers at once, whatever they do."""
        for worker in range(self._started):
            self._workers.stop(worker)

    def _start(self) -> None:
        self._workers.start(self._started)
        self._started += 1

    def _open(self) -> list[int]:
        """The numbers of the calls that were begun and have not ended."""
        return [each.number for each in (*self._again, *self._doing.values()) if each is not None]

    def _hand_out(self, function: str, waiting: Iterator[bytes]) -> None:
        for worker in [worker for worker, doing in self._doing.items() if doing is None]:
            found = self._again.pop(0) if self._again else self._new(function, waiting)
            if found is None:
                return
            self._doing[worker] = found
            self._workers.tell(worker, found)

    def _new(self, function: str, waiting: Iterator[bytes]) -> Assignment | None:
        if self._all_given or (
            self._ahead is not None and self._numbers - min(self._open(), default=self._numbers) >= self._ahead
        ):
            return None
        given = next(waiting, None)
        if given is None:
            self._all_given = True
            return None
        self._numbers += 1
        return Assignment(number=self._numbers - 1, function=function, given=given)

    def _lost(self, worker: int, lost: Lost, heard: Heard) -> None:
        self._watchdog.forget(worker)
        self._gone.add(worker)
        if worker in self._hanging:
            lost = lost._replace(how=f"has said nothing for {self._workers.patience_s:.0f} s and {lost.how}")
        if worker not in self._doing:
            self._ended_early += 1
            if self._ended_early >= TRIES * self._size:
                raise CrewFailed(f"a worker {Broken(lost.how, lost.log)}", hint="no submission has begun in it")
        elif (assignment := self._doing.pop(worker)) is not None:
            self._losses[assignment.number] = self._losses.get(assignment.number, 0) + 1
            if self._losses[assignment.number] < TRIES:
                self._again.append(assignment)
            else:
                heard(
                    assignment.number,
                    Broken(f"each of {TRIES} workers that did it was lost; the last {lost.how}", lost.log),
                )
        if self._again or not self._all_given:
            self._start()


class InOrder:
    """Passes on what calls found in the order of the calls."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._kept: dict[int, bytes | Broken] = {}
        self._next = 0

    def __call__(self, number: int, found: bytes | Broken) -> None:
        self._kept[number] = found
        while self._next in self._kept:
            self._heard(self._next, self._kept.pop(self._next))
            self._next += 1
