"""Has a function called many times by workers, and says what each call found.

A worker that is lost takes what it was doing with it; that is done again by another one, and alone, so that whoever kills
its worker is told from those beside it. Who kills three gets no fourth.
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
    """`size` workers, each of which does `at_once` things. `ahead`: how far the calls may get ahead of the oldest that has
    not ended, for who has to keep what comes before its turn."""

    def __init__(
        self, workers: Workers[Assignment, Report], *, size: int, at_once: int = 1, ahead: int | None = None
    ) -> None:
        self._workers = workers
        self._size = size
        self._at_once = at_once
        self._ahead = ahead
        self._started = 0
        self._ended_early = 0  # in a row
        self._gone: set[int] = set()
        self._hands: dict[int, dict[int, Assignment]] = {}  # of those who are ready: what each is doing
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
                self._hands[worker] = {}
                self._ended_early = 0
            case Alive():
                pass
            case Done():
                del self._hands[worker][said.number]
                heard(said.number, said.found)
            case Raised():
                del self._hands[worker][said.number]
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
        return [*(lost.number for lost in self._again), *(number for hands in self._hands.values() for number in hands)]

    def _hand_out(self, function: str, waiting: Iterator[bytes]) -> None:
        for worker, hands in self._hands.items():
            while len(hands) < self._at_once and not hands.keys() & self._losses.keys():
                if self._again and not hands:
                    found = self._again.pop(0)
                elif (new := self._new(function, waiting)) is not None:
                    found = new
                else:
                    break
                hands[found.number] = found
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
        hands = self._hands.pop(worker, None)
        if hands is None:
            self._ended_early += 1
            if self._ended_early >= TRIES * self._size:
                raise CrewFailed(f"a worker {Broken(lost.how, lost.log)}", hint="no submission has begun in it")
        for assignment in (hands or {}).values():
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
