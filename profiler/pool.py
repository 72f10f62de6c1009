"""Requests in, records out: workers that call the client, try again, give up, and never lose count.

One task group holds as many workers as there are slots; they share one iterator, so dispatch is in
dataset order. There is no task and no timer per dialogue. Knows nothing of files or manifests.
"""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING

import anyio
import msgspec

from profiler import retry
from profiler.classify import classify
from profiler.errors import CallError, ProfilerError, ProviderFailed
from profiler.limits import Slots
from profiler.model import Failure, Record, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anyio.abc import TaskGroup

    from profiler.clients import Client
    from profiler.plan import Planner
    from profiler.settings import Retry
    from profiler.writer import Writer

BACKING_OFF_PER_SLOT = 4


class Job(msgspec.Struct, kw_only=True):
    """One dialogue on its way: the request it is at, and what it has cost so far."""

    request: Request
    started: float
    give_up_at: float
    called: float = 0.0
    client_s: float = 0.0
    attempts: int = 0
    wait_s: float = 0.0
    replies: tuple[str, ...] = ()
    usage: dict[str, int] | None = None


class Seat:
    """A worker's place: the job in its hands and the moment its call has to end."""

    __slots__ = ("call_ends", "job", "scope")

    def __init__(self) -> None:
        self.job: Job | None = None
        self.call_ends = math.inf
        self.scope = anyio.CancelScope()


class Pool:
    """Calls the client for every request, as many at once as there are slots."""

    def __init__(
        self,
        *,
        client: Client,
        planner: Planner,
        writer: Writer,
        concurrency: int,
        timeout_s: float,
        retry: Retry,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.slots = Slots(concurrency)
        self.backing_off = 0
        self.retried = 0
        self.failures: dict[str, int] = {}
        self.stopped: ProfilerError | None = None
        self._client = client
        self._planner = planner
        self._writer = writer
        self._timeout_s = timeout_s
        self._retry = retry
        self._clock = clock
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
                with seat.scope:
                    await self._serve(seat)
                if not seat.scope.cancel_called:
                    break
                seat.scope = anyio.CancelScope()
                seat.job = self._late(seat)
        finally:
            self._seats.discard(seat)
            self.slots.give()

    async def _serve(self, seat: Seat) -> None:
        """The loop of a worker: a job, its call, what follows from it."""
        writer, slots, complete = self._writer, self.slots, self._client.complete
        while (job := seat.job or self._next_job()) is not None:
            seat.job = job
            if job.wait_s:
                await self._back_off(job)
                if self._draining.is_set():
                    return
            self._begin_call(seat, job)
            try:
                reply = await complete(job.request)
            except CallError as error:
                seat.call_ends = math.inf
                seat.job = self._failed(job, error)
                if seat.scope.cancel_called:  # too late for the call: it must not hit the wait for the next one
                    return
            else:
                seat.call_ends = math.inf
                seat.job = self._answered(job, reply)
            if writer.full:
                await writer.make_room()
            if slots.wanted and seat.job is None:
                return

    def _next_job(self) -> Job | None:
        if self._requests is None:
            return None
        request = next(self._requests, None)
        if request is None:
            self._requests = None
            return None
        return Job(request=request, started=self._clock(), give_up_at=time.monotonic() + self._retry.deadline_s)

    def _begin_call(self, seat: Seat, job: Job) -> None:
        job.attempts += 1
        job.called = self._clock()
        ends = time.monotonic() + self._timeout_s
        seat.call_ends = ends = min(ends, job.give_up_at)
        if ends < self._next_look:
            self._look_sooner.set()

    def _answered(self, job: Job, reply: Reply) -> Job | None:
        """Record a reply; a dialogue with turns left gets its next one instead."""
        request = job.request
        dialogue = request.dialogue
        if type(reply) is not Reply or type(reply.completion) is not str:
            raise TypeError(f"the client answered {dialogue.dialogue_id!r} with {reply!r}, expected a Reply")
        job.client_s += self._clock() - job.called if reply.latency_s is None else reply.latency_s
        if dialogue.turns is not None:
            job.replies += (reply.completion,)
            job.usage = _sum_usage(job.usage, reply.usage)
            following = self._planner.next_turn(request, reply.completion)
            if following is not None:
                job.request = following
                return job
        self._writer.put(
            Record(
                dialogue_id=dialogue.dialogue_id,
                index=request.index,
                completion=reply.completion,
                type=classify(reply.completion, reply.stop_reason, reply.metadata),
                stop_reason=reply.stop_reason,
                model=reply.model,
                usage=job.usage or reply.usage,
                latency_s=round(job.client_s, 6),
                queue_s=self._queue_s(job),
                attempts=job.attempts,
                request_id=reply.request_id,
                cost_usd=None,
                error=None,
                replies=job.replies or msgspec.UNSET,
            )
        )
        return None

    def _failed(self, job: Job, error: CallError) -> Job | None:
        """Decide what a failure means: another try, a record, or the end of the run."""
        job.client_s += self._clock() - job.called
        if error.fatal:
            self.drain(ProviderFailed(f"the provider refuses to go on: {error.message}"))
            return None
        request = job.request
        wait_s = retry.wait_before(request.attempt + 1, error, jitter=random.random())  # noqa: S311 (no secret)
        again = retry.try_again(
            error,
            attempts=request.attempt,
            max_attempts=self._retry.max_attempts,
            wait_s=wait_s,
            left_s=job.give_up_at - time.monotonic(),
        )
        if not again:
            self._give_up(job, error)
            return None
        self.retried += 1
        job.wait_s = wait_s
        job.request = msgspec.structs.replace(request, attempt=request.attempt + 1)
        return job

    def _late(self, seat: Seat) -> Job | None:
        """What becomes of a job whose call was cut off at its deadline."""
        job, ended, seat.call_ends = seat.job, seat.call_ends, math.inf
        if job is None or ended > time.monotonic():  # the cancellation was meant for the call before
            return job
        return self._failed(job, CallError("timeout", "no reply before the deadline", retryable=True))

    def _give_up(self, job: Job, error: CallError) -> None:
        self.failures[error.kind] = self.failures.get(error.kind, 0) + 1
        request = job.request
        self._writer.put(
            Record(
                dialogue_id=request.dialogue.dialogue_id,
                index=request.index,
                completion=None,
                type="error",
                stop_reason=None,
                model=None,
                usage=job.usage,
                latency_s=round(job.client_s, 6),
                queue_s=self._queue_s(job),
                attempts=job.attempts,
                request_id=error.request_id,
                cost_usd=None,
                error=Failure(type=error.kind, message=error.message, status=error.status, request_id=error.request_id),
                replies=job.replies or msgspec.UNSET,
            )
        )

    def _queue_s(self, job: Job) -> float:
        """What the dialogue waited outside the client: for its slot and between its tries."""
        waited = self._clock() - job.started - job.client_s
        return round(waited, 6) if waited > 0.0 else 0.0

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


def _sum_usage(total: dict[str, int] | None, usage: dict[str, int]) -> dict[str, int]:
    total = dict(total or {})
    for name, value in usage.items():
        if type(value) is int:
            total[name] = total.get(name, 0) + value
    return total
