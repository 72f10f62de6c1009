"""Hands ranges out to workers, and does what follows from what they say.

A worker that has nothing to do gets the rest of the range that will take longest. The ranges of a worker that is lost go
to others, and another one is started in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, assert_never

import anyio

from profiler.core.errors import BudgetReached, Interrupted, ProfilerError
from profiler.engine.threads import in_thread
from profiler.fleet.coordination.fleet_view import WorkerState
from profiler.fleet.coordination.handout import Handout
from profiler.fleet.coordination.watchdog import LOOK_EVERY_S, Watchdog
from profiler.fleet.drivers.driver import Lost
from profiler.fleet.messages import Abandon, Cut, Done, Drain, Ended, Finish, Grant, Looked, Status, Told, Want, WasCut
from profiler.fleet.preparing.prepare import owed
from profiler.storage.money import Money
from profiler.storage.shared_runs.candidate_money import own_money

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.fleet.coordination.fleet_view import FleetView
    from profiler.fleet.drivers.driver import Driver
    from profiler.fleet.drivers.reached_broker import ReachedBroker
    from profiler.fleet.merging import Merging
    from profiler.fleet.messages import Job, Report, Stopped
    from profiler.fleet.preparing.prepare import Prepared

LOSSES_IN_A_ROW: Final = 3  # for each worker, without a range that was answered in between
TOLD_LINES: Final = 200
ABANDONED_WITHIN: Final = 10  # looks: whoever is told to end its calls does so at once
SIGTERM: Final = 15


class WorkerFailed(ProfilerError):
    exit_code = 70  # workers end and nobody ended them, or code that they ran has failed


class Coordinator:
    """Hands out the ranges of one command. `job_of` makes the job of a worker from its number and its share of the
    money; `belongs` says by their first items which ranges are this command's."""

    def __init__(
        self,
        prepared: Prepared,
        *,
        driver: Driver,
        merger: Merging,
        view: FleetView,
        job_of: Callable[[int, int | None], Job],
        tell: Callable[[str], None],
        broker: ReachedBroker | None = None,
        belongs: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self.stopped: Exception | None = None
        self.taken = 0  # answers of earlier runs
        self.bound_by: dict[int, dict[str, Any]] = {}
        self.refused_call = 0  # of those that a cap has refused, the worst case of the dearest, in pico-dollars
        self.free: list[int] = []  # workers that have done their part, and wait for another run's
        self.next_number = 0
        self._folders = prepared.folders
        self._live = prepared.source.mode == "live"
        self._driver = driver
        self._broker = broker
        self._merger = merger
        self._view = view
        self._workers = view.workers
        self._job_of = job_of
        self._tell = tell
        self._told: set[str] = set()
        pieces = (each for each in owed(prepared.folders, prepared.table, since=merger.end) if belongs(each[0]))
        self._handout = Handout(pieces, prepared.folders, merged_to=lambda: merger.end)
        self._losses = 0
        self._watchdog = Watchdog(patience=round(driver.patience_s / LOOK_EVERY_S))
        self._committed = anyio.Event()
        self._budget_reached: Exception | None = None

    def employ(self, number: int, *, cap: int | None) -> None:
        """Give a worker that was started its job."""
        self.next_number = max(self.next_number, number + 1)
        self._workers[number] = WorkerState(number, cap=cap)
        self._watchdog.expect(number)
        self._driver.tell(number, self._job_of(number, cap))

    def join(self, *, cap: int | None) -> int:
        """One more worker, at any time; returns its number."""
        number = self.next_number
        self._driver.start(number)
        self.employ(number, cap=cap)
        return number

    def join_late(self) -> None:
        """Start one more worker, because somebody asked for it. A live run without a broker has none to spare for it:
        the money is shared out."""
        if self.stopped is None and (self._broker is not None or not self._live):
            self._tell(f"worker {self.join(cap=None)} joins")

    def drain(self, reason: Exception) -> None:
        """Begin nothing new, and let the calls in flight end."""
        if self.stopped is None:
            self.stopped = reason
            self._view.stopping = True
            self._handout.close()
            for number in self._working():
                self._driver.tell(number, Drain())

    @property
    def in_flight(self) -> int:
        return self._view.look().in_flight

    def abandon(self) -> None:
        """End the calls in flight too, and a little later the workers that do not react."""
        self._watchdog.patience = min(self._watchdog.patience, ABANDONED_WITHIN)
        for number in self._working():
            self._driver.tell(number, Abandon())

    def _working(self) -> list[int]:
        return [number for number, worker in self._workers.items() if not worker.ended]

    async def run(self) -> None:
        """Until everything is committed and put together; raises what stopped it, when all workers have ended."""
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._merge)
            self._hand_out()
            while self._working():
                if (heard := await self._next()) is not None:
                    await self._hear(*heard)
                await self._look_for_the_silent()
            self._committed.set()
            beside.cancel_scope.cancel()
        await in_thread(self._merger.advance)
        if self.stopped is None and not self._merger.complete:
            self.stopped = self._budget_reached or WorkerFailed("no worker is left, and not all is answered")
        if self.stopped is not None:
            raise self.stopped

    async def _merge(self) -> None:
        """Put together what is committed, as soon as everything before it is."""
        while True:
            await self._committed.wait()
            self._committed = anyio.Event()
            with anyio.CancelScope(shield=True):
                await in_thread(self._merger.advance)

    async def _next(self) -> tuple[int, Report | Lost] | None:
        """The next report; None when no worker reports anything for a moment."""
        with anyio.move_on_after(LOOK_EVERY_S):
            return await self._driver.poll()
        return None

    async def _look_for_the_silent(self) -> None:
        """One that hangs is ended, and then `Lost` is heard of it. One that cannot even be ended is lost without that."""
        hanging, unreachable = self._watchdog.look()
        for number in hanging:
            self._workers[number].hangs = True
            self._driver.stop(number)
        for number in unreachable:
            await self._hear(number, Lost("cannot be ended", certain=False))

    async def _hear(self, number: int, said: Report | Lost) -> None:
        worker = self._workers.get(number)
        if worker is None or worker.ended or isinstance(said, Looked):  # a slice that nobody waits for any more
            return
        if not worker.hangs:
            self._watchdog.heard(number)
        match said:
            case Want():
                worker.idle = True
            case Status():
                self._look_at(worker, said)
            case WasCut():
                self._handout.was_cut(said)
            case Done():
                self._done(worker, said)
            case Told():
                self._pass_on(said.line)
            case Ended():
                await self._ended(worker, said)
            case Lost():
                await self._lost(worker, said)
            case _:
                assert_never(said)
        self._hand_out()

    def _look_at(self, worker: WorkerState, status: Status) -> None:
        worker.status = status
        worker.rate.of(status.answered)
        self._handout.heard(worker.number, status.parts)

    def _done(self, worker: WorkerState, done: Done) -> None:
        self._losses = 0
        worker.forget(done.first)
        self._view.add(done.money)
        if done.won:
            self._view.committed += done.end - done.first
            self.taken += done.taken
        self._committed.set()
        self._handout.done(done.first)

    async def _ended(self, worker: WorkerState, said: Ended) -> None:
        """Handle the last report of a worker. Its process ends soon, or waits for another job; nobody waits for that."""
        self._has_ended(worker)
        if said.bound_by is not None:
            self.bound_by[worker.number] = said.bound_by
        self._handout.take_back(worker.number)
        if said.error is not None and self.stopped is None:
            await self._stopped_by(worker, said.error)
        elif worker.finishing:
            self.free.append(worker.number)
        elif self.stopped is None:
            self._has_left(worker)

    async def _stopped_by(self, worker: WorkerState, error: Stopped) -> None:
        if error.kind == BudgetReached.__name__:
            self.refused_call = max(self.refused_call, error.next_call)
            self._budget_reached = self._budget_reached or BudgetReached(error.message, hint=error.hint)
            # With a broker nothing is left for others either; without one only this worker's share is used up.
            if self._broker is not None:
                self.drain(self._budget_reached)
        elif error.kind == Interrupted.__name__:
            self._has_left(worker)
        elif error.bug:
            said = f"worker {worker.number} failed: {error.kind}: {error.message}"
            self.drain(WorkerFailed(_with_log(said, error.lines)))
        else:
            self.drain(error.as_error())

    def _has_left(self, worker: WorkerState) -> None:
        self._tell(f"worker {worker.number} was asked to leave")
        if not self._working():
            self.drain(Interrupted("all workers were asked to leave; everything answered is kept", signum=SIGTERM))

    async def _lost(self, worker: WorkerState, lost: Lost) -> None:
        """A worker is lost. What it has written to disk is kept; what it was doing otherwise is not known."""
        self._has_ended(worker)
        self._view.lost += 1
        # Before another candidate takes over what this one has written. Of one that may still spend something the broker finds
        # out by itself that it has gone.
        if self._broker is not None and lost.certain:
            await self._broker.forget(worker.number)
        spent = await self._spent_by(worker.number)
        self._view.add(spent)
        self._handout.take_back(worker.number)
        if self.stopped is not None:
            return
        self._losses += 1
        silence = f"has said nothing for {self._driver.patience_s:.0f} s and " if worker.hangs else ""
        said = f"worker {worker.number} {silence}{lost.how}"
        if self._losses > LOSSES_IN_A_ROW * (len(self._working()) + 1):
            self.drain(WorkerFailed(_with_log(f"{said}, as others did before it", lost.log)))
            return
        self._tell(_with_log(f"{said}; another one takes its place", lost.log))
        self.join(cap=None if worker.cap is None else max(0, worker.cap - spent.gone))

    def _has_ended(self, worker: WorkerState) -> None:
        worker.ended = True
        self._watchdog.forget(worker.number)

    async def _spent_by(self, number: int) -> Money:
        """What the open ranges of a worker have cost so far, counting this worker's calls only."""
        spent = Money()
        for known in self._handout.of(number):
            if candidates := self._folders.candidates(known.first):
                spent += await in_thread(own_money, candidates[-1].folder)
        return spent

    def _pass_on(self, line: str) -> None:
        """Pass on what a worker says to people; the same line from several workers only once."""
        if line not in self._told and len(self._told) < TOLD_LINES:
            self._told.add(line)
            self._tell(line)

    def _hand_out(self) -> None:
        among = len(self._working())
        for worker in self._workers.values():
            if not worker.idle or worker.ended:
                continue
            number = worker.number
            if (granted := self._handout.take(number, among=among, speed=worker.speed)) is not None:
                worker.idle = False
                self._driver.tell(worker.number, Grant(granted.first, granted.end))
            elif (theft := self._handout.theft_for(number, lambda other: self._workers[other].speed)) is not None:
                self._driver.tell(theft.victim.worker, Cut(theft.victim.first, keep=theft.keep))
        if self._handout.over and self.stopped is None:
            self._finish()

    def _finish(self) -> None:
        for worker in self._workers.values():
            if not (worker.ended or worker.finishing):
                worker.finishing = True
                self._driver.tell(worker.number, Finish())


def _with_log(said: str, log: str) -> str:
    return f"{said}; the last lines of its log:\n{log}" if log else said
