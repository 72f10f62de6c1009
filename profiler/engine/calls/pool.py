"""The pool: workers that take requests, call the client, and do what the attempt machine decides.

There are at most as many workers as slots. They share one iterator, so calls leave in the order of the dataset. No
dialogue has a task or a timer of its own.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from profiler.core.errors import BudgetReached, CallError
from profiler.engine.calls.attempt import GiveUp, StopRun
from profiler.engine.calls.deadlines import Deadlines, Worker
from profiler.engine.calls.pool_status import PoolStatus
from profiler.engine.calls.records import Records
from profiler.engine.calls.unbegun import Unbegun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio.abc import TaskGroup

    from profiler.core.nouns import Reply, Request
    from profiler.engine.calls.attempt import AttemptMachine, TryAgain
    from profiler.engine.calls.job import Job
    from profiler.engine.slots import Slots
    from profiler.provider.validate import Checked
    from profiler.storage.writing.writer import Writer

BACKING_OFF_PER_SLOT = 4  # beyond it, jobs that wait for a retry keep their slots, so that memory stays bounded


class Pool:
    """Calls the client for every request, as many at once as there are slots."""

    def __init__(self, *, client: Checked, writer: Writer, slots: Slots, machine: AttemptMachine) -> None:
        self.slots = slots
        self.stopped: Exception | None = None
        self._client = client
        self._writer = writer
        self._machine = machine
        self._records = Records(writer, clock=machine.clock if machine.timed else None)
        self._deadlines = Deadlines()
        self._backing_off = 0
        self._draining = anyio.Event()
        self._unbegun = Unbegun()
        self._workers: TaskGroup | None = None
        self._coming = 0  # workers that have not looked for their first job yet

    async def run(self, requests: Iterator[Request], *, count: float = math.inf) -> None:
        """Answer every request; there are `count` of them, where somebody knows. Returns when all are done.
        After `drain`, raises its reason when the calls in flight have ended."""
        if self.stopped is None:
            self._unbegun.open(requests, count=count)
        with self._deadlines, self.slots.offered_to(self._take_offer):
            async with anyio.create_task_group() as self._workers:
                self._hire()
                await self._unbegun.over.wait()  # there may be no slot for the first of them yet
        if self.stopped is not None:
            raise self.stopped
        self._end_held()

    def drain(self, reason: Exception) -> None:
        """Start nothing new, and let the calls in flight end; `run` then raises the first reason given.

        A dialogue that has turns or tries left is dropped without a record, so it is still owed.
        """
        self.stopped = self.stopped or reason
        self._unbegun.close()
        self._draining.set()
        self.slots.let_all_in()

    def leave_out(self, count: int) -> None:
        """Leave the last `count` requests to somebody else: the iterator ends before them."""
        self._unbegun.drop(count)

    def abandon(self) -> None:
        """End the calls in flight too; their dialogues are still owed."""
        self._unbegun.close()
        if self._workers is not None:
            self._workers.cancel_scope.cancel()

    def status(self) -> PoolStatus:
        machine = self._machine
        return PoolStatus(
            in_flight=self._deadlines.calling,
            slots=self.slots.limit,
            backing_off=self._backing_off,
            retried=machine.retried,
            failures=dict(self._records.failures),
            stopping=self.stopped is not None,
            held_up_by=machine.held_up_by,
        )

    def bound_by(self) -> dict[str, Any] | None:
        """What kept a live run from going faster."""
        limits = self._machine.limits
        return None if limits is None else limits.bound_by(ended=self._unbegun.tail)

    @property
    def could_use(self) -> float:
        """How many slots the pool could use without a limit: one for each job under way or waiting, and for each request."""
        more = 0.0 if self._unbegun.empty else self._unbegun.count - self._coming
        return self.slots.taken + self._backing_off + more

    @property
    def wants(self) -> float:
        """How many slots the pool can use right now, the ones it holds included."""
        if self._unbegun.empty:
            return self.slots.taken
        return min(self.slots.limit, self.slots.taken - self._coming + self._unbegun.count)

    def _take_offer(self) -> None:
        """A slot may have come free. While there are plenty, workers on their way hire for them, if they find work."""
        if not self._coming or self.slots.room <= self._coming:
            self._hire()

    def _hire(self) -> None:
        """Start up to two workers for free slots. Each that finds a job starts the next two.

        So there are never many more workers than dialogues, and requests are taken in the order in which calls leave.
        """
        for _ in range(2):
            if self._workers is None or self._unbegun.empty or self._coming >= self._unbegun.count:
                return
            if not self.slots.take_nowait():
                return
            self._coming += 1
            self._workers.start_soon(self._work)

    async def _work(self) -> None:
        """Serve until nothing is left to do, or until a job that comes back from a wait needs the slot.

        One cancel scope serves many calls: entering one costs more than a call to the mock.
        """
        worker = Worker()
        self._coming -= 1
        worker.job = self._next_job()
        if worker.job is not None:
            self._hire()
        self._deadlines.workers.add(worker)
        try:
            while True:
                with worker.scope as scope:
                    await self._serve(worker)
                if not worker.late:
                    break
                worker.begin_again()
                if scope.cancelled_caught:
                    worker.job = self._late(worker)
        except Exception as error:  # noqa: BLE001 (a bug: it comes out when the calls of others, which are paid for, have ended)
            self.drain(error)
        except BaseException:
            self._unbegun.close()  # the run is torn down: nobody is hired for the slot that comes free
            raise
        finally:
            if worker.call_ends != math.inf and worker.job is not None:  # cancelled in the middle of its call
                self._machine.cut_off(worker.job)
            self._deadlines.workers.discard(worker)
            self.slots.give()
            self._unbegun.worker_ended()

    async def _serve(self, worker: Worker) -> None:
        """The loop of a worker: take a job, make its call, do what follows from it."""
        writer, slots, deadlines, machine = self._writer, self.slots, self._deadlines, self._machine
        client, call = self._client, self._client.call
        while (job := worker.job or self._next_job()) is not None and self.stopped is None:
            worker.job = job
            at_once = machine.leaves_at_once(job)
            if not at_once and not await self._may_leave(job):
                worker.job = None
                continue
            worker.call_ends = ends = machine.begin_call(job, job.attempts.called if at_once else None)
            if ends < deadlines.next_look:
                deadlines.look_at(ends)
            try:
                reply = client.reply(job.request, await call(job.request))
            except BaseException as error:
                if (failure := client.failure(job.request, error)) is None:
                    raise
                worker.call_ends = math.inf
                worker.job = self._obey(job, machine.failed(job, failure))
            else:
                worker.call_ends = math.inf
                worker.job = self._answered(job, reply)
            if worker.late:  # the watch was too late for this call, and must not hit the next
                return
            if writer.full:
                await writer.make_room()
            if slots.wanted and worker.job is None:
                return

    async def _may_leave(self, job: Job) -> bool:
        """Wait for all that must come before a call: its back-off, its money, the limits.

        False when the run drains meanwhile, or when the time of the dialogue runs out, which ends it.
        """
        if job.attempts.wait_s:
            await self._back_off(job, self._machine.take_wait(job))
        if self.stopped is not None:
            return False
        try:
            return await self._leave(job)
        except BudgetReached as reached:
            self.drain(reached)
        except CallError as error:
            self._obey(job, self._machine.give_up(error))
        return False

    async def _leave(self, job: Job) -> bool:
        """Wait for money and limits. Meanwhile a call to another provider may use the place of this one."""
        try:
            leaves = await self.slots.lent_while(partial(self._let_go, job))
        except BaseException:
            self._machine.stays(job)
            raise
        if leaves and self.stopped is not None:  # while it waited for its place
            self._machine.stays(job)
            return False
        return leaves

    async def _let_go(self, job: Job) -> bool:
        began = time.monotonic()
        try:
            return await self._machine.leave(job, give_up=self._draining)
        finally:
            job.attempts.held_s += time.monotonic() - began

    def _next_job(self) -> Job | None:
        try:
            request = self._unbegun.next()
        except Exception as error:  # noqa: BLE001 (whatever is wrong with the dataset: calls in flight are paid for)
            self.drain(error)
            return None
        return None if request is None else self._machine.begin(request)

    def _answered(self, job: Job, reply: Reply) -> Job | None:
        """Record a reply, or return the job when its dialogue has turns left."""
        goes_on = self._machine.answered(job, reply)
        if self._machine.limits is not None and self._records.holding:
            self._records.release()
        if goes_on:
            return job
        self._records.answered(job, reply)
        return None

    def _obey(self, job: Job, decision: TryAgain | GiveUp | StopRun) -> Job | None:
        """Do what a failure means: return the job for another try, record its end, or end the run."""
        if isinstance(decision, StopRun):
            self.drain(decision.reason)
            return None
        if not isinstance(decision, GiveUp):
            return job
        if decision.stop is not None:
            self.drain(decision.stop)
        if decision.unheard:
            # The next answer, or the end of the run, shows whether others fare better; if not, these are still owed.
            self._records.hold(job, decision.error)
            return None
        if not decision.error.retryable:
            self._records.release()  # a refusal proves that the provider is up
        self._records.failed(job, decision.error)
        return None

    def _late(self, worker: Worker) -> Job | None:
        """Decide what becomes of a job whose call was ended at its deadline."""
        worker.call_ends = math.inf
        return None if worker.job is None else self._obey(worker.job, self._machine.too_late(worker.job))

    def _end_held(self) -> None:
        """Nothing is left to ask: record as errors what was held back, unless there was no answer at all."""
        held, limits = self._records.held, self._machine.limits
        if held is not None and limits is not None and (failed := limits.all_ended(held)) is not None:
            raise failed
        self._records.release()

    async def _back_off(self, job: Job, wait_s: float) -> None:
        """Wait before a retry; the slot is free for others meanwhile, unless too many jobs wait already."""
        began = time.monotonic()
        gives_way = self._backing_off < BACKING_OFF_PER_SLOT * self.slots.limit
        self._backing_off += 1
        try:
            if gives_way:
                self.slots.give()
            with anyio.move_on_after(wait_s):
                await self._draining.wait()
            job.attempts.between_s += time.monotonic() - began
            if gives_way:
                await self.slots.take()
        except BaseException:
            if gives_way:
                self.slots.count(1)  # the worker ends, and gives back the slot that it should hold
            raise
        finally:
            self._backing_off -= 1
