"""One call at a time, for those who hold a conversation themselves: an agent that calls tools, say.

Comes in: a request, whose body its caller wrote. Goes out: a reply, once slots, limits, retries and the cap allow it.
Knows nothing of dialogues, records or files, and makes no task: every caller waits in its own.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, NamedTuple

import anyio
import msgspec

from profiler.core.errors import CallError, ProviderFailed
from profiler.core.nouns import Dialogue, Params, Reply, Request, RequestLine
from profiler.engine import retry
from profiler.engine.call_cost import Till
from profiler.engine.job import Job
from profiler.engine.limits.provider_limits import ProviderLimits
from profiler.engine.slots import Slots

if TYPE_CHECKING:
    from profiler.engine.limits.rate_gate import RateGate
    from profiler.manifest.settings import Retry
    from profiler.money.budget import Budget
    from profiler.provider.client import Client

NO_LINE = RequestLine("", 0, "", None, 1, {}, "")  # nothing of this is written to requests.jsonl


class Answer(NamedTuple):
    """A reply and what it took: calls, seconds of the last one, pico-dollars of all (None: not known)."""

    reply: Reply
    attempts: int
    latency_s: float
    cost: int | None


def request_of(body: bytes, *, name: str, params: Params) -> Request:
    """A request for a body that is already written; `name` is what the question is told by."""
    return Request(index=0, dialogue=Dialogue(dialogue_id=name), params=params, body=body, line=NO_LINE)


class Asker:
    """Asks a client on behalf of many, within one set of limits."""

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
        self.retried = 0
        self._client = client
        self._timeout_s = timeout_s
        self._retry = retry
        self._till = None if budget is None else Till(budget)
        self._limits = None
        if gate is not None:
            self._limits = ProviderLimits(gate, slots=self.slots, longest_pause_s=retry.deadline_s)
        self._never = anyio.Event()

    async def ask(self, request: Request) -> Answer:
        """The reply, after as many tries as the settings allow.

        Raises the last `CallError` when there is none, `ProviderFailed` when no other call can succeed either, and
        `BudgetReached` when this one could pass the cap.
        """
        job = Job(request=request, started=time.monotonic(), cost=0)
        while True:
            try:
                return await self._try(job)
            except CallError as error:
                wait_s = self._failed(job, error)
            await anyio.sleep(wait_s)

    async def _try(self, job: Job) -> Answer:
        """One call, with a slot, money and its turn in traffic."""
        await self.slots.take()
        try:
            if self._till is not None:
                await self._till.afford(job, give_up=self._never)
            await self._leave(job)
            reply = await self._call(job)
            latency_s = time.monotonic() - job.called if reply.latency_s is None else reply.latency_s
            return Answer(reply, job.attempts, latency_s, None if job.maybe_billed else job.cost)
        finally:
            self.slots.give()

    async def _leave(self, job: Job) -> None:
        if self._limits is None:
            return
        leaves = False
        try:
            leaves = await self._limits.admit(job, give_up=self._never)
        finally:
            if not leaves and self._till is not None:
                self._till.give_back(job)
        if not leaves:
            raise job.failed or CallError("timeout", "stood in line until its deadline", sent=False)

    async def _call(self, job: Job) -> Reply:
        """The call itself, until its own deadline or that of the question. What it drew and held is settled in any case."""
        now = job.called = time.monotonic()
        if not job.attempts:
            job.give_up_at = now + self._retry.deadline_s  # waiting in line is nobody's own time
        job.attempts += 1
        error = CallError("cut_off", "nobody waits for the reply any more")
        try:
            with anyio.fail_after(max(0.0, min(self._timeout_s, job.give_up_at - now))):
                reply = await self._client.complete(job.request)
        except TimeoutError:
            error = CallError("timeout", "no reply before the deadline", retryable=True)
            raise error from None
        except CallError as failed:
            error = failed
            raise
        else:
            self._answered(job, reply)
            return reply
        finally:
            self._settle_failed(job, error)

    def _answered(self, job: Job, reply: Reply) -> None:
        """What a reply costs and teaches; nothing is left to be settled."""
        if self._till is not None:
            self._till.pay(job, reply.usage)
        if self._limits is not None:
            self._limits.succeeded(job, reply)
        job.draw = None

    def _settle_failed(self, job: Job, error: CallError) -> None:
        if self._till is not None:
            self._till.settle_failed(job, error)
        if self._limits is not None and job.draw is not None:
            self._limits.failed(job, error, wait_s=self._wait_s(job, error))
        job.draw = None

    def _failed(self, job: Job, error: CallError) -> float:
        """The seconds to wait before another try; raises when there is to be none."""
        if error.fatal:
            raise ProviderFailed(f"the provider refuses to go on: {error.message}") from error
        wait_s = self._wait_s(job, error)
        pushed_back = self._limits is not None and self._limits.pauses_everyone(error)
        job.tries += not pushed_back
        again = retry.try_again(
            error,
            attempts=job.tries,
            max_attempts=self._retry.max_attempts,
            wait_s=wait_s,
            left_s=job.give_up_at - time.monotonic(),
        )
        if not again:
            if self._limits is not None and (hopeless := self._limits.gave_up(error)) is not None:
                raise hopeless from error
            raise error
        self.retried += 1
        job.failed = error
        job.request = msgspec.structs.replace(job.request, attempt=job.request.attempt + 1)
        return 0.0 if pushed_back else wait_s  # a push-back holds everyone in traffic

    def _wait_s(self, job: Job, error: CallError) -> float:
        return retry.wait_before(job.request.attempt + 1, error, jitter=random.random())  # noqa: S311 (no secret)
