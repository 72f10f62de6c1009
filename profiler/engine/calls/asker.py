"""Asks one question at a time for callers who hold the conversation themselves, such as an agent that calls tools.

The caller writes the body of each request; slots, limits, retries and the cap work as in a run. No task is made: each
caller waits in its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import anyio

from profiler.core.errors import CallError
from profiler.core.nouns import Dialogue, Params, Reply, Request, RequestLine
from profiler.engine.calls.attempt import AttemptMachine, GiveUp, StopRun
from profiler.engine.limits.provider_limits import ProviderLimits
from profiler.engine.slots import Slots
from profiler.provider.validate import Checked

if TYPE_CHECKING:
    from profiler.engine.calls.attempt import TryAgain
    from profiler.engine.calls.job import Job
    from profiler.engine.limits.rate_gate import RateGate
    from profiler.manifest.settings import Retry
    from profiler.money.budget import Budget
    from profiler.provider.client import Client

# a request needs a line, but this one is never written to requests.jsonl
NO_LINE = RequestLine("", 0, "", None, 1, {}, "")


class Answered(NamedTuple):
    """A reply, and what it took: calls, seconds of the last one, and pico-dollars of all (None: not known)."""

    reply: Reply
    attempts: int
    latency_s: float
    cost: int | None


def request_of(body: bytes, *, name: str, params: Params) -> Request:
    """A request whose body is already written; messages call it `name`."""
    return Request(index=0, dialogue=Dialogue(dialogue_id=name), params=params, body=body, line=NO_LINE)


class Asker:
    """Asks one client for many callers at once, within one set of limits."""

    def __init__(
        self,
        *,
        client: Client,
        concurrency: int,
        timeout_s: float,
        retry: Retry,
        gate: RateGate | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.slots = Slots(concurrency)
        self._client = Checked(client)
        limits = None
        if gate is not None:
            limits = ProviderLimits(gate, slots=self.slots, longest_pause_s=retry.deadline_s)
        self._machine = AttemptMachine(retry=retry, timeout_s=timeout_s, limits=limits, budget=budget)
        self._never = anyio.Event()

    @property
    def retried(self) -> int:
        return self._machine.retried

    async def ask(self, request: Request) -> Answered:
        """The reply, after as many tries as the settings allow.

        Raises the last `CallError` when there is none, `ProviderFailed` when no other call can succeed either, and
        `BudgetReached` when this call could pass the cap.
        """
        job = self._machine.begin(request)
        while True:
            outcome = await self._try(job)
            match outcome:
                case Answered():
                    return outcome
                case StopRun(reason):
                    raise reason
                case GiveUp(error, stop=stop):
                    if stop is not None:
                        raise stop from error
                    raise error
                case _:
                    await anyio.sleep(self._machine.take_wait(job))

    async def _try(self, job: Job) -> Answered | TryAgain | GiveUp | StopRun:
        """One call, as soon as a slot, the money and the limits allow it."""
        machine = self._machine
        await self.slots.take()
        try:
            if not machine.leaves_at_once(job):
                try:
                    await machine.leave(job, give_up=self._never)
                except CallError as error:
                    return machine.give_up(error)
            return await self._call(job)
        finally:
            self.slots.give()

    async def _call(self, job: Job) -> Answered | TryAgain | GiveUp | StopRun:
        """The call itself, until its own time-out or the deadline of the question."""
        machine = self._machine
        ends = machine.begin_call(job)
        try:
            with anyio.fail_after(max(0.0, ends - time.monotonic())):
                reply = self._client.reply(job.request, await self._client.call(job.request))
        except TimeoutError:
            return machine.too_late(job)
        except BaseException as error:
            if (failure := self._client.failure(job.request, error)) is not None:
                return machine.failed(job, failure)
            machine.cut_off(job)
            raise
        machine.answered(job, reply)
        latency_s = time.monotonic() - job.attempts.called if reply.latency_s is None else reply.latency_s
        cost = job.cost
        known = None if cost is None or cost.unknown or cost.maybe else cost.paid
        return Answered(reply, job.attempts.calls, latency_s, known)
