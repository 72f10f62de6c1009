"""Requests in, records out: workers that call the client, try again, give up, and never lose count.

One task group holds as many workers as there are slots; they share one iterator, so dispatch is in
dataset order. There is no task and no timer per dialogue. Knows nothing of files or manifests.
"""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from profiler.core.errors import BudgetReached, CallError, ProfilerError, ProviderFailed
from profiler.core.nouns import Reply, Request
from profiler.engine import retry
from profiler.engine.call_cost import Till
from profiler.engine.deadlines import Deadlines, Worker
from profiler.engine.job import Job, sum_usage
from profiler.engine.limits.health import unheard
from profiler.engine.limits.provider_limits import ProviderLimits
from profiler.engine.results import Ending
from profiler.engine.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio.abc import TaskGroup

    from profiler.engine.limits.rate_gate import RateGate
    from profiler.manifest.settings import Retry
    from profiler.money.budget import Budget
    from profiler.provider.client import Client
    from profiler.provider.requests import Planner
    from profiler.storage.writer import Writer

BACKING_OFF_PER_SLOT = 4


class Pool:
    """Calls the client for every request, as many at once as there are slots.

    Not `timed`, it records no times but those that the client says it simulated: equal runs then give equal bytes.
    """

    def __init__(
        self,
        *,
        client: Client,
        planner: Planner,
        writer: Writer,
        concurrency: int,
        timeout_s: float,
        retry: Retry,
        gate: RateGate | None = None,
        timed: bool = True,
        budget: Budget | None = None,
    ) -> None:
        self.slots = Slots(concurrency)
        self.backing_off = 0
        self.retried = 0
        self.stopped: ProfilerError | None = None
        self.till = None if budget is None else Till(budget)
        self._ending = Ending(writer, till=self.till, timed=timed)
        self.limits = None
        if gate is not None:
            self.limits = ProviderLimits(gate, slots=self.slots, longest_pause_s=retry.deadline_s)
        self._client = client
        self._planner = planner
        self._writer = writer
        self._timeout_s = timeout_s
        self._retry = retry
        self._timed = timed
        self._guarded = gate is not None or budget is not None
        self._all_begun = math.inf
        self._ended: list[float] = []
        self._deadlines = Deadlines(timeout_s=timeout_s)
        self._draining = anyio.Event()
        self._requests: Iterator[Request] | None = None
        self._workers: TaskGroup | None = None

    async def run(self, requests: Iterator[Request]) -> None:
        """Answer every request; returns when all are done, or when `drain` let the last call end."""
        self._requests = requests
        async with anyio.create_task_group() as watch:
            watch.start_soon(self._deadlines.end_late_calls)
            async with anyio.create_task_group() as self._workers:
                self._hire()
            watch.cancel_scope.cancel()
        if self.stopped is not None:
            raise self.stopped
        self._end_held()

    def drain(self, reason: ProfilerError) -> None:
        """Start nothing new, let calls in flight end, then leave with the reason."""
        self.stopped = self.stopped or reason
        self._requests = None
        self._draining.set()

    def abandon(self) -> None:
        """End the calls in flight too; they count as not made."""
        self._requests = None
        if self._workers is not None:
            self._workers.cancel_scope.cancel()

    @property
    def in_flight(self) -> int:
        return self._deadlines.calling

    @property
    def failures(self) -> dict[str, int]:
        """What dialogues ended with, by kind."""
        return self._ending.failures

    @property
    def recorded_cost(self) -> int:
        """What the records of this session say that they cost, in pico-dollars."""
        return self.till.recorded if self.till is not None else 0

    @property
    def holds_up(self) -> str | None:
        """What calls stand in line for right now."""
        if self.till is not None and self.till.waiting:
            return "room under the cap"
        return self.limits.holds_up if self.limits is not None else None

    def bound_by(self) -> dict[str, Any] | None:
        """What kept a live run from going faster."""
        return self.limits.bound_by(ended=self._ended) if self.limits is not None else None

    def _hire(self) -> None:
        """A worker for every free slot."""
        while self._workers is not None and self._requests is not None and self.slots.take_nowait():
            self._workers.start_soon(self._work)

    async def _work(self) -> None:
        """Serve until nothing is left, or until somebody who comes back needs the slot.

        One cancel scope serves many calls: entering one costs more than a call to the mock.
        """
        worker = Worker()
        self._deadlines.workers.add(worker)
        try:
            while True:
                with worker.scope as scope:
                    await self._serve(worker)
                if not scope.cancel_called:
                    break
                worker.scope = anyio.CancelScope()
                if scope.cancelled_caught:
                    worker.job = self._late(worker)
        finally:
            self._deadlines.workers.discard(worker)
            self.slots.give()
            if self._requests is None and self._guarded:
                self._ended.append(max(0.0, time.monotonic() - self._all_begun))

    async def _serve(self, worker: Worker) -> None:
        """The loop of a worker: a job, its call, what follows from it."""
        writer, slots, complete = self._writer, self.slots, self._client.complete
        while (job := worker.job or self._next_job()) is not None:
            worker.job = job
            if not self._goes_at_once(job) and not await self._may_go(job):
                if self._draining.is_set():
                    return
                worker.job = None
                continue
            self._begin_call(worker, job)
            try:
                reply = await complete(job.request)
            except CallError as error:
                worker.call_ends = math.inf
                worker.job = self._failed(job, error)
            else:
                worker.call_ends = math.inf
                worker.job = self._answered(job, reply)
            if worker.scope.cancel_called:  # too late for this call, and it must not hit the next
                return
            if writer.full:
                await writer.make_room()
            if slots.wanted and worker.job is None:
                return

    def _goes_at_once(self, job: Job) -> bool:
        """Whether nothing stands before a call, as before most; its money is set aside then, and it counts as sent."""
        if job.wait_s:
            return False
        if self.till is not None and not self.till.afford_at_once(job):
            return False
        if self.limits is None or self.limits.try_admit(job):
            return True
        if self.till is not None:
            self.till.give_back(job)
        return False

    async def _may_go(self, job: Job) -> bool:
        """Wait for what stands before a call: its back-off, its money, the limits. False when the run drains meanwhile,
        or when the job's time ran out, which ends it."""
        if job.wait_s:
            await self._back_off(job)
            if self._draining.is_set():
                return False
        if self.till is not None and not await self._afford(job, self.till):
            return False
        if self.limits is not None and not await self.limits.admit(job, give_up=self._draining):
            if self.till is not None:
                self.till.give_back(job)
            if not self._draining.is_set():
                self._give_up(job, job.failed or CallError("timeout", "stood in line until its deadline", sent=False))
            return False
        return True

    async def _afford(self, job: Job, till: Till) -> bool:
        try:
            return await till.afford(job, give_up=self._draining)
        except BudgetReached as reached:
            self.drain(reached)
            return False

    def _next_job(self) -> Job | None:
        if self._requests is None:
            return None
        request = next(self._requests, None)
        if request is None:
            self._requests = None
            self._all_begun = time.monotonic()
            return None
        return Job(request=request, started=time.monotonic(), cost=None if self.till is None else 0)

    def _begin_call(self, worker: Worker, job: Job) -> None:
        now = time.monotonic() if job.attempts or self._guarded else job.started
        if not job.attempts:
            job.give_up_at = now + self._retry.deadline_s  # waiting in line is not the dialogue's own time
        job.called = now
        job.attempts += 1
        ends = now + self._timeout_s
        give_up = job.give_up_at
        worker.call_ends = ends = ends if ends < give_up else give_up  # noqa: FURB136 (min() costs a call)
        if ends < self._deadlines.next_look:
            self._deadlines.look_sooner()

    def _answered(self, job: Job, reply: Reply) -> Job | None:
        """Record a reply; a dialogue with turns left gets its next one instead."""
        request = job.request
        dialogue = request.dialogue
        if type(reply) is not Reply or type(reply.completion) is not str:
            raise TypeError(f"the client answered {dialogue.dialogue_id!r} with {reply!r}, expected a Reply")
        if self.limits is not None:
            if self.limits.succeeded(job, reply):
                self._hire()
            if self._ending.held is not None:
                self._ending.release()
        if reply.latency_s is not None:
            job.client_s += reply.latency_s
        elif self._timed:
            job.client_s += time.monotonic() - job.called
        if self.till is not None:
            self.till.pay(job, reply.usage)
        if dialogue.turns is not None:
            job.replies += (reply.completion,)
            job.usage = sum_usage(job.usage, reply.usage)
            following = self._planner.next_turn(request, reply.completion)
            if following is not None:
                job.request, job.failed = following, None
                return job
        self._ending.answered(job, reply)
        return None

    def _failed(self, job: Job, error: CallError) -> Job | None:
        """Decide what a failure means: another try, a record, or the end of the run."""
        if self._timed:
            job.client_s += time.monotonic() - job.called
        if self.till is not None:
            self.till.settle_failed(job, error)
        request = job.request
        wait_s = retry.wait_before(request.attempt + 1, error, jitter=random.random())  # noqa: S311 (no secret)
        pushed_back = False
        if self.limits is not None:
            self.limits.failed(job, error, wait_s=wait_s)
            pushed_back = self.limits.pauses_everyone(error)
        if error.fatal:
            self.drain(ProviderFailed(f"the provider refuses to go on: {error.message}"))
            return None
        job.tries += not pushed_back
        again = retry.try_again(
            error,
            attempts=job.tries,
            max_attempts=self._retry.max_attempts,
            wait_s=wait_s,
            left_s=job.give_up_at - time.monotonic(),
        )
        if not again:
            self._give_up(job, error)
            return None
        self.retried += 1
        # a push-back holds everyone at the gate, so the job need not wait on its own
        job.wait_s = 0.0 if pushed_back else wait_s
        job.request = msgspec.structs.replace(request, attempt=request.attempt + 1)
        job.failed = error.with_traceback(None)  # which would hold on to this frame, and so to the job itself
        return job

    def _late(self, worker: Worker) -> Job | None:
        """What becomes of a job whose call was cut off at its deadline."""
        worker.call_ends = math.inf
        error = CallError("timeout", "no reply before the deadline", retryable=True)
        return None if worker.job is None else self._failed(worker.job, error)

    def _give_up(self, job: Job, error: CallError) -> None:
        """No more tries. A failure that says nothing of its dialogue is held back until an answer or the end of the run
        shows that the others fare better; if they do not, the run stops and these dialogues are still to be asked."""
        if self.limits is not None and (hopeless := self.limits.gave_up(error)) is not None:
            self.drain(hopeless)
        if self.limits is not None and unheard(error):
            self._ending.hold(job, error)
            return
        if not error.retryable:
            self._ending.release()  # who refuses one of them is there for the others
        self._ending.failed(job, error)

    def _end_held(self) -> None:
        """Nothing is left to ask, and what is held back ends as errors, unless nothing was answered at all."""
        held = self._ending.held
        if held is not None and self.limits is not None and (failed := self.limits.all_ended(held)) is not None:
            raise failed
        self._ending.release()

    async def _back_off(self, job: Job) -> None:
        """Wait before a retry, with the slot free for others unless too many wait already."""
        wait_s, job.wait_s = job.wait_s, 0.0
        gives_way = self.backing_off < BACKING_OFF_PER_SLOT * self.slots.limit
        self.backing_off += 1
        try:
            if gives_way:
                self.slots.give()
                self._hire()
            with anyio.move_on_after(wait_s):
                await self._draining.wait()
        finally:
            self.backing_off -= 1
        if gives_way:
            await self.slots.take()
