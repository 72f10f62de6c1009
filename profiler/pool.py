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

from profiler import retry
from profiler.errors import CallError, ProfilerError, ProviderFailed
from profiler.job import Job, micro, record_failure, record_reply, sum_usage
from profiler.limits import Slots
from profiler.model import Reply, Request
from profiler.pace import Pace
from profiler.prices import dollars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio.abc import TaskGroup

    from profiler.budget import Budget
    from profiler.clients import Client
    from profiler.gate import Gate
    from profiler.plan import Planner
    from profiler.settings import Retry
    from profiler.writer import Writer

BACKING_OFF_PER_SLOT = 4
HOPELESS_AFTER = 5
PUSH_BACKS = ("rate_limited", "overloaded")


class Seat:
    """A worker's place: the job in its hands and the moment its call has to end."""

    __slots__ = ("call_ends", "job", "scope")

    def __init__(self) -> None:
        self.job: Job | None = None
        self.call_ends = math.inf
        self.scope = anyio.CancelScope()


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
        gate: Gate | None = None,
        timed: bool = True,
        budget: Budget | None = None,
    ) -> None:
        self.slots = Slots(concurrency)
        self.backing_off = 0
        self.retried = 0
        self.failures: dict[str, int] = {}
        self.stopped: ProfilerError | None = None
        self.recorded_cost = 0
        self._budget = budget
        self._client = client
        self._planner = planner
        self._writer = writer
        self._timeout_s = timeout_s
        self._retry = retry
        self._timed = timed
        self._gate = gate
        self._guarded = gate is not None or budget is not None
        self._pace = Pace(self.slots) if gate is not None else None
        self._answered_any = False
        self._refused: dict[str, int] = {}
        self._seats: set[Seat] = set()
        self._draining = anyio.Event()
        self._next_look = math.inf
        self._look_sooner = anyio.Event()
        self._requests: Iterator[Request] | None = None
        self._workers: TaskGroup | None = None

    async def run(self, requests: Iterator[Request]) -> None:
        """Answer every request; returns when all are done, or when `drain` let the last call end."""
        self._requests = requests
        async with anyio.create_task_group() as watch:
            watch.start_soon(self._end_late_calls)
            async with anyio.create_task_group() as self._workers:
                self._hire()
            watch.cancel_scope.cancel()
        if self.stopped is not None:
            raise self.stopped

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
        return sum(seat.call_ends != math.inf for seat in self._seats)

    @property
    def holds_up(self) -> str | None:
        """The limit that calls wait for right now."""
        return self._gate.waits_for if self._gate is not None else None

    def bound_by(self) -> dict[str, Any] | None:
        """What kept a live run from going faster: the seconds that calls stood in line, by reason, and how the
        number of calls at once was changed."""
        if self._gate is None or self._pace is None:
            return None
        return {
            "waited_s": {reason: round(seconds, 3) for reason, seconds in sorted(self._gate.waited_s.items())},
            "in_use": {name: round(share, 3) for name, share in self._gate.utilisation(time.monotonic()).items()},
            "concurrency": [msgspec.to_builtins(change) for change in self._pace.changes],
        }

    def _hire(self) -> None:
        """A worker for every free slot."""
        while self._workers is not None and self._requests is not None and self.slots.take_nowait():
            self._workers.start_soon(self._work)

    async def _work(self) -> None:
        """Serve until nothing is left, or until somebody who comes back needs the slot.

        One cancel scope serves many calls: entering one costs more than a call to the mock.
        """
        seat = Seat()
        self._seats.add(seat)
        try:
            while True:
                with seat.scope as scope:
                    await self._serve(seat)
                if not scope.cancel_called:
                    break
                seat.scope = anyio.CancelScope()
                if scope.cancelled_caught:
                    seat.job = self._late(seat)
        finally:
            self._seats.discard(seat)
            self.slots.give()

    async def _serve(self, seat: Seat) -> None:
        """The loop of a worker: a job, its call, what follows from it."""
        writer, slots, complete = self._writer, self.slots, self._client.complete
        while (job := seat.job or self._next_job()) is not None:
            seat.job = job
            if (job.wait_s or self._guarded) and not await self._may_go(job):
                return
            self._begin_call(seat, job)
            try:
                reply = await complete(job.request)
            except CallError as error:
                seat.call_ends = math.inf
                seat.job = self._failed(job, error)
            else:
                seat.call_ends = math.inf
                seat.job = self._answered(job, reply)
            if seat.scope.cancel_called:  # too late for this call, and it must not hit the next
                return
            if writer.full:
                await writer.make_room()
            if slots.wanted and seat.job is None:
                return

    async def _may_go(self, job: Job) -> bool:
        """Wait for what stands before a call: its back-off, its money, the limits. False when the run drains meanwhile."""
        if job.wait_s:
            await self._back_off(job)
            if self._draining.is_set():
                return False
        if self._budget is not None and not await self._afford(job, self._budget):
            return False
        if self._gate is not None:
            job.draw = await self._gate.leave(job.request, give_up=self._draining)
            if job.draw is None:
                self._give_back(job)
                return False
        return True

    def _next_job(self) -> Job | None:
        if self._requests is None:
            return None
        request = next(self._requests, None)
        if request is None:
            self._requests = None
            return None
        return Job(request=request, started=time.monotonic(), cost=None if self._budget is None else 0)

    async def _afford(self, job: Job, budget: Budget) -> bool:
        """Set the worst case of a call aside. Close to the cap that waits until calls in flight turn out cheaper."""
        while (hold := budget.reserve(job.request)) is None:
            if not budget.reserved:
                self.drain(budget.reached(job.request))
                return False
            await budget.freed()
            if self._draining.is_set():
                return False
        job.hold = hold
        return True

    def _give_back(self, job: Job) -> None:
        """What was set aside for a call that was never made."""
        if self._budget is not None and job.hold is not None:
            self._budget.release(job.hold)
            job.hold = None

    def _pay(self, job: Job, budget: Budget, usage: dict[str, Any]) -> None:
        """Exchange the hold for the price of the reply; one price that is not known leaves the sum unknown."""
        if job.hold is not None:
            paid, job.hold = budget.settle(job.hold, usage), None
            job.cost = None if paid is None or job.cost is None else job.cost + paid

    def _settle_failed(self, job: Job, error: CallError) -> None:
        if self._budget is not None and job.hold is not None:
            job.maybe_billed |= self._budget.fail(job.hold, error)
            job.hold = None

    def _cost_of(self, job: Job) -> float | None:
        """What a record says of its price; the sum of it is what the journal shows."""
        if job.cost is None or job.maybe_billed:
            return None
        self.recorded_cost += job.cost
        return dollars(job.cost)

    def _begin_call(self, seat: Seat, job: Job) -> None:
        now = time.monotonic() if job.attempts or self._gate is not None else job.started
        if not job.attempts:
            job.give_up_at = now + self._retry.deadline_s  # waiting in line is not the dialogue's own time
        job.called = now
        job.attempts += 1
        ends = now + self._timeout_s
        give_up = job.give_up_at
        seat.call_ends = ends = ends if ends < give_up else give_up  # noqa: FURB136 (min() costs a call)
        if ends < self._next_look:
            self._look_sooner.set()

    def _answered(self, job: Job, reply: Reply) -> Job | None:
        """Record a reply; a dialogue with turns left gets its next one instead."""
        request = job.request
        dialogue = request.dialogue
        if type(reply) is not Reply or type(reply.completion) is not str:
            raise TypeError(f"the client answered {dialogue.dialogue_id!r} with {reply!r}, expected a Reply")
        self._answered_any = True
        if self._gate is not None:
            self._learn(job, reply)
        if reply.latency_s is not None:
            job.client_s += reply.latency_s
        elif self._timed:
            job.client_s += time.monotonic() - job.called
        if self._budget is not None:
            self._pay(job, self._budget, reply.usage)
        if dialogue.turns is not None:
            job.replies += (reply.completion,)
            job.usage = sum_usage(job.usage, reply.usage)
            following = self._planner.next_turn(request, reply.completion)
            if following is not None:
                job.request = following
                return job
        self._writer.put(record_reply(job, reply, queue_s=self._queue_s(job), cost_usd=self._cost_of(job)))
        return None

    def _learn(self, job: Job, reply: Reply) -> None:
        """What a reply teaches about the limits, before the next call leaves."""
        gate, pace, usage = self._gate, self._pace, reply.usage
        if gate is not None and job.draw is not None:
            cached = usage.get("cache_creation_input_tokens") or 0
            gate.settle(
                job.draw,
                input_tokens=(usage.get("input_tokens") or 0) + cached,
                output_tokens=usage.get("output_tokens") or 0,
                sent=len(job.request.body),
            )
            if reply.limits is not None:
                gate.believe(reply.limits)
        if pace is not None and pace.succeeded():
            self._hire()

    def _failed(self, job: Job, error: CallError) -> Job | None:
        """Decide what a failure means: another try, a record, or the end of the run."""
        if self._timed:
            job.client_s += time.monotonic() - job.called
        self._settle_failed(job, error)
        request = job.request
        wait_s = retry.wait_before(request.attempt + 1, error, jitter=random.random())  # noqa: S311 (no secret)
        pushed_back = error.kind in PUSH_BACKS
        self._hear(job, error, wait_s=wait_s)
        if error.fatal:
            self.drain(ProviderFailed(f"the provider refuses to go on: {error.message}"))
            return None
        job.tries += not pushed_back or self._gate is None
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
        job.wait_s = 0.0 if pushed_back and self._gate is not None else wait_s
        job.request = msgspec.structs.replace(request, attempt=request.attempt + 1)
        return job

    def _hear(self, job: Job, error: CallError, *, wait_s: float) -> None:
        """What a failure teaches about the limits."""
        gate = self._gate
        if gate is None:
            return
        if job.draw is not None:
            gate.settle(job.draw, input_tokens=None, output_tokens=None, sent=0)
        if error.limits is not None:
            gate.believe(error.limits)
        if error.kind in PUSH_BACKS:
            gate.cool_down(wait_s if error.retry_after_s is None else error.retry_after_s)
            if self._pace is not None:
                self._pace.pushed_back(error.kind, called=job.called)

    def _late(self, seat: Seat) -> Job | None:
        """What becomes of a job whose call was cut off at its deadline."""
        seat.call_ends = math.inf
        error = CallError("timeout", "no reply before the deadline", retryable=True)
        return None if seat.job is None else self._failed(seat.job, error)

    def _give_up(self, job: Job, error: CallError) -> None:
        self._stop_if_hopeless(error)
        self.failures[error.kind] = self.failures.get(error.kind, 0) + 1
        self._writer.put(record_failure(job, error, queue_s=self._queue_s(job), cost_usd=self._cost_of(job)))

    def _stop_if_hopeless(self, error: CallError) -> None:
        """The same refusal for all of the first calls is not about the dialogues: stop before the rest is spent."""
        if self._answered_any or self._gate is None or error.retryable:
            return
        self._refused[error.kind] = self._refused.get(error.kind, 0) + 1
        if self._refused[error.kind] >= HOPELESS_AFTER:
            self.drain(
                ProviderFailed(
                    f"the first {HOPELESS_AFTER} calls were all refused: {error.message}",
                    hint="mend the cause, then run the same command with --retry-failed",
                )
            )

    def _queue_s(self, job: Job) -> float:
        """What the dialogue waited outside the client: for its slot and between its tries."""
        return micro(max(0.0, time.monotonic() - job.started - job.client_s)) if self._timed else 0.0

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

    async def _end_late_calls(self) -> None:
        """One watch for all calls: it sleeps until the earliest deadline that it knows of."""
        while True:
            now = time.monotonic()
            for seat in self._seats:
                if seat.call_ends <= now:
                    seat.scope.cancel()
            # calls that start later end later, unless their dialogue's own deadline comes first
            self._next_look = min(
                (seat.call_ends for seat in self._seats if seat.call_ends > now), default=now + self._timeout_s
            )
            with anyio.move_on_after(self._next_look - now):
                await self._look_sooner.wait()
            self._look_sooner = anyio.Event()
