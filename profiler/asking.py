"""One call at a time, for those who hold a conversation themselves: an agent that calls tools, say.

Comes in: a request, whose body its caller wrote. Goes out: a reply, once slots, limits, retries and the budget allow it.
Knows nothing of dialogues, records or files, and makes no task: every caller waits in its own.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, NamedTuple

import anyio
import msgspec

from profiler import retry
from profiler.errors import CallError, ProviderFailed
from profiler.limits import Slots
from profiler.model import Dialogue, Params, Reply, Request, RequestLine
from profiler.pace import Pace

if TYPE_CHECKING:
    from profiler.budget import Budget
    from profiler.clients import Client
    from profiler.gate import Draw, Gate
    from profiler.settings import Retry

PUSH_BACKS = ("rate_limited", "overloaded")
NO_LINE = RequestLine("", 0, "", None, 1, {}, "")  # nothing of this is written to requests.jsonl


class Answer(NamedTuple):
    """A reply and what it took: calls, seconds of the last one, pico-dollars of all (None: not known)."""

    reply: Reply
    attempts: int
    latency_s: float
    cost: int | None


class Try(msgspec.Struct):
    """One question on its way."""

    request: Request
    attempts: int = 0
    counted: int = 0
    give_up_at: float = 0.0
    called: float = 0.0
    cost: int | None = 0


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
        gate: Gate | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.slots = Slots(concurrency)
        self.calls = 0
        self.retried = 0
        self._client = client
        self._timeout_s = timeout_s
        self._retry = retry
        self._gate = gate
        self._budget = budget
        self._pace = Pace(self.slots) if gate is not None else None
        self._never = anyio.Event()

    async def ask(self, request: Request) -> Answer:
        """The reply, after as many tries as the settings allow.

        Raises the last `CallError` when there is none, `ProviderFailed` when no other call can succeed either, and
        `BudgetReached` when this one could pass the cap.
        """
        question = Try(request)
        while True:
            try:
                return await self._try(question)
            except CallError as error:
                wait_s = self._failed(question, error)
            await anyio.sleep(wait_s)

    async def _try(self, question: Try) -> Answer:
        """One call, with a slot, money and a place at the gate."""
        await self.slots.take()
        try:
            hold = await self._afford(question.request)
            draw = await self._leave(question.request, hold)
            reply = await self._call(question, hold=hold, draw=draw)
            latency_s = time.monotonic() - question.called if reply.latency_s is None else reply.latency_s
            self._learn(question.request, reply, draw)
            return Answer(reply, question.attempts, latency_s, question.cost)
        finally:
            self.slots.give()

    async def _afford(self, request: Request) -> int | None:
        """Set the worst case aside; close to the cap that waits for calls in flight to turn out cheaper."""
        budget = self._budget
        if budget is None:
            return None
        while (hold := budget.reserve(request)) is None:
            if not budget.reserved:
                raise budget.reached(request)
            await budget.freed()
        return hold

    async def _leave(self, request: Request, hold: int | None) -> Draw | None:
        if self._gate is None:
            return None
        try:
            return await self._gate.leave(request, give_up=self._never)
        except BaseException:
            if self._budget is not None and hold is not None:
                self._budget.release(hold)
            raise

    async def _call(self, question: Try, *, hold: int | None, draw: Draw | None) -> Reply:
        """The call itself, until its own deadline or that of the question; its hold and its draw are settled whatever
        happens."""
        now = question.called = time.monotonic()
        if not question.attempts:
            question.give_up_at = now + self._retry.deadline_s  # waiting in line is nobody's own time
        question.attempts += 1
        self.calls += 1
        try:
            with anyio.fail_after(min(self._timeout_s, max(question.give_up_at - now, 0.0))):
                reply = await self._client.complete(question.request)
        except TimeoutError:
            error = CallError("timeout", "no reply before the deadline", retryable=True)
            self._settle_failed(question, error, hold=hold, draw=draw)
            raise error from None
        except CallError as error:
            self._settle_failed(question, error, hold=hold, draw=draw)
            raise
        except BaseException:
            self._cut_off(hold=hold, draw=draw)
            raise
        if self._budget is not None and hold is not None:
            paid = self._budget.settle(hold, reply.usage)
            question.cost = None if paid is None or question.cost is None else question.cost + paid
        return reply

    def _learn(self, request: Request, reply: Reply, draw: Draw | None) -> None:
        """What a reply teaches about the limits, before the next call leaves."""
        if self._gate is None or draw is None:
            return
        usage = reply.usage
        written = usage.get("cache_creation_input_tokens") or 0
        self._gate.settle(
            draw,
            input_tokens=(usage.get("input_tokens") or 0) + written,
            output_tokens=usage.get("output_tokens") or 0,
            sent=len(request.body),
        )
        if reply.limits is not None:
            self._gate.believe(reply.limits)
        if self._pace is not None:
            self._pace.succeeded()

    def _settle_failed(self, question: Try, error: CallError, *, hold: int | None, draw: Draw | None) -> None:
        gate, budget = self._gate, self._budget
        if gate is not None and draw is not None:
            gate.settle(draw, input_tokens=None, output_tokens=None, sent=0)
            if error.limits is not None:
                gate.believe(error.limits)
        if budget is not None and hold is not None and budget.fail(hold, error):
            question.cost = None

    def _cut_off(self, *, hold: int | None, draw: Draw | None) -> None:
        """Cancelled in the middle of a call: it may have been billed."""
        if self._gate is not None and draw is not None:
            self._gate.settle(draw, input_tokens=None, output_tokens=None, sent=0)
        if self._budget is not None and hold is not None:
            self._budget.keep(hold)

    def _failed(self, question: Try, error: CallError) -> float:
        """The seconds to wait before another try; raises when there is to be none."""
        if error.fatal:
            raise ProviderFailed(f"the provider refuses to go on: {error.message}") from error
        request = question.request
        wait_s = retry.wait_before(request.attempt + 1, error, jitter=random.random())  # noqa: S311 (no secret)
        pushed_back = error.kind in PUSH_BACKS and self._gate is not None
        if self._gate is not None and pushed_back:
            self._gate.cool_down(wait_s if error.retry_after_s is None else error.retry_after_s)
            if self._pace is not None:
                self._pace.pushed_back(error.kind, called=question.called)
        question.counted += not pushed_back
        again = retry.try_again(
            error,
            attempts=question.counted,
            max_attempts=self._retry.max_attempts,
            wait_s=wait_s,
            left_s=question.give_up_at - time.monotonic(),
        )
        if not again:
            raise error
        self.retried += 1
        question.request = msgspec.structs.replace(request, attempt=request.attempt + 1)
        return 0.0 if pushed_back else wait_s  # a push-back holds everyone at the gate
