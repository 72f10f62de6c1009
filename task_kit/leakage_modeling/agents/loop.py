"""Plays one episode with a model: asks it, runs the tools that it calls, sends the answers back, until it submits.

Every tool call is answered, even one that was cut off. A step is one reply of the model. Steps, tokens a step and the
output of tools in a step are limited, and the conversation is kept within the model's context. What the model or its
code causes ends as its own failure; `provider` is left for what neither can cause.
"""

# `content` makes every reply fit to be sent back. The first request of a conversation had the same form and was
# accepted, so when the provider refuses a later one, the cause is what the model wrote in between.

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

import anyio.to_thread

from profiler.core.errors import CallError
from profiler.core.json import dumps
from profiler.core.nouns import Params
from profiler.engine.calls.asker import Answered, request_of
from profiler.money.prices import dollars
from task_kit.leakage_modeling.agents.content import BadOutput, Call, content_of
from task_kit.leakage_modeling.agents.tools import LEAST_BYTES, SUBMIT, Result, schemas
from task_kit.leakage_modeling.agents.transcript import Metrics, Observation, ObservationResult, Step, ToolCall
from task_kit.leakage_modeling.worker.plain_text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio import CapacityLimiter

    from profiler.core.nouns import Reply, Request
    from task_kit.leakage_modeling.agents.tools import Toolbox

WARNED_BELOW = 4
CUT_OFF = "Not run: the message was cut off at {max_tokens} tokens in the middle of this call. Send it again, shorter."
NUDGES = {
    "max_tokens": f"The message was cut off at {{max_tokens}} tokens. Call a tool, with less; {SUBMIT} ends the episode.",
    "refusal": f"Nothing was submitted. Go on with a tool if you can; {SUBMIT} ends the episode.",
}
NUDGE = f"No tool was called, and nothing has been submitted. Go on with a tool; {SUBMIT} ends the episode."
LAST = "This is the last step: only a submission counts now."

TOO_LONG = re.compile(r"too (long|large|many)|context|exceed|maximum", re.IGNORECASE)
REFUSES_WHAT_IT_IS_SENT = frozenset({400, 413, 422})
ILLEGIBLE = (
    "nested_too_deep"  # the kind of error of a reply that no reader takes, which only the model can have written
)
LARGEST_COUNT = 1 << 53
FOR_REMARKS = 300  # tokens kept free for remarks beside the results

HowEnded = Literal["submitted", "no_submission", "context_full", "bad_output", "provider"]
Block = dict[str, Any]


class Asks(Protocol):
    async def ask(self, request: Request) -> Answered: ...


class Hands(Protocol):
    """The tools of an episode, wherever they run. `offered` describes them to the model; `done` ends the episode."""

    @property
    def offered(self) -> list[dict[str, Any]]: ...
    @property
    def done(self) -> bool: ...
    async def step(
        self, calls: Sequence[Call], *, cut_off: Call | None, most_bytes: int, told: str
    ) -> list[Result]: ...


class Written(Protocol):
    """Where steps are written down."""

    def next_id(self) -> int: ...
    def add(self, step: Step) -> None: ...


class InThread:
    """Tools that block, run in one of a limited number of threads."""

    def __init__(self, tools: Toolbox, *, stdout_chars: int, threads: CapacityLimiter) -> None:
        self.offered = schemas(stdout_chars=stdout_chars)
        self._tools = tools
        self._threads = threads

    @property
    def done(self) -> bool:
        return self._tools.submission is not None

    async def step(self, calls: Sequence[Call], *, cut_off: Call | None, most_bytes: int, told: str) -> list[Result]:
        return await anyio.to_thread.run_sync(
            lambda: self._tools.step(calls, cut_off=cut_off, most_bytes=most_bytes, told=told),
            limiter=self._threads,
            abandon_on_cancel=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The limits of an episode."""

    model: str
    max_steps: int = 20
    max_tokens: int = 1000
    stdout_chars: int = 8000
    context_tokens: int = 200_000

    @property
    def step_bytes(self) -> int:
        """Limit for what tools say in one step. In scripts other than Latin, a character takes more than one byte."""
        return 2 * self.stdout_chars


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an episode ended, and what it took. `cost` is in pico-dollars, None where a price is not known."""

    how: HowEnded
    steps: int
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int | None = 0
    said: str = ""


@dataclass(slots=True, kw_only=True)
class Episode:
    """One conversation."""

    name: str
    rules: Rules
    prompt: str
    tools: Hands
    transcript: Written
    timed: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0  # steps played so far, whatever becomes of the episode
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int | None = 0
    call_ids: set[str] = field(default_factory=set)

    async def play(self, asker: Asks) -> Ending:
        """Play step by step. If the provider does not answer, the episode ends without a judgement."""
        self._tell([{"type": "text", "text": self.prompt}])
        self._note("user", self.prompt)
        while self.steps < self.rules.max_steps:
            try:
                answer = await asker.ask(self._request())
                self.steps += 1
                self._count(answer)
                full = not await self._follow(answer, left=self.rules.max_steps - self.steps)
            except CallError as error:
                return self._ending(self._blame(error), said=f"{error.kind}: {error.message}")
            except BadOutput as bad:
                return self._ending("bad_output", said=str(bad))
            if self.tools.done:
                return self._ending("submitted")
            if full or answer.reply.stop_reason == "model_context_window_exceeded":
                return self._ending("context_full", said="the conversation no longer fits into the context")
        return self._ending("no_submission", said="the steps were used up")

    def _blame(self, error: CallError) -> HowEnded:
        """Who is to blame that there is no reply. Before the first one, the model cannot be."""
        if error.kind == ILLEGIBLE:
            return "bad_output"
        if self.steps == 0 or error.status not in REFUSES_WHAT_IT_IS_SENT:
            return "provider"
        return "context_full" if error.status == 413 or TOO_LONG.search(error.message) else "bad_output"

    def _request(self) -> Request:
        rules = self.rules
        body = {
            "model": rules.model,
            "max_tokens": rules.max_tokens,
            "tools": self.tools.offered,
            "messages": self.messages,
        }
        return request_of(dumps(body), name=self.name, params=Params(model=rules.model, max_tokens=rules.max_tokens))

    async def _follow(self, answer: Answered, *, left: int) -> bool:
        """Do what a reply asks for, and write it down. False when the conversation no longer fits into the context."""
        reply = answer.reply
        parts = content_of(reply, taken=self.call_ids)
        calls = [part for part in parts if isinstance(part, Call)]
        cut_off = calls[-1] if calls and reply.stop_reason == "max_tokens" and calls[-1] is parts[-1] else None
        room = self._room(answer, calls)
        results = await self.tools.step(
            calls,
            cut_off=cut_off,
            most_bytes=min(self.rules.step_bytes, room),
            told=CUT_OFF.format(max_tokens=self.rules.max_tokens),
        )
        self._write(answer, calls, results)
        if parts:
            blocks = [part.block() if isinstance(part, Call) else part for part in parts]
            self.messages.append({"role": "assistant", "content": blocks})
        if not self.tools.done and left:
            self._tell([*_tool_results(calls, results), *self._remarks(reply, called=bool(calls), left=left)])
        return room >= LEAST_BYTES * len(calls)

    def _room(self, answer: Answered, calls: list[Call]) -> int:
        """How many bytes of results still fit into the context, beside the next reply. No byte makes two tokens."""
        usage = answer.reply.usage
        names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
        used = sum(_tokens(usage, name) for name in names)
        spare = self.rules.max_tokens + FOR_REMARKS + 50 * len(calls)
        return self.rules.context_tokens - used - spare

    def _remarks(self, reply: Reply, *, called: bool, left: int) -> list[Block]:
        """Remarks beside the results: a nudge when no tool was called, and the number of steps left when few are."""
        said = []
        if not called:
            said.append(NUDGES.get(reply.stop_reason or "", NUDGE).format(max_tokens=self.rules.max_tokens))
        if left < WARNED_BELOW:
            said.append(LAST if left == 1 else f"{left} steps are left.")
        if not said:
            return []
        text = " ".join(said)
        self._note("user", text)
        return [{"type": "text", "text": text}]

    def _tell(self, blocks: list[Block]) -> None:
        """Add blocks as the user. Two messages of one side in a row become one, as the API wants it."""
        if self.messages and self.messages[-1]["role"] == "user":
            self.messages[-1]["content"].extend(blocks)
        else:
            self.messages.append({"role": "user", "content": blocks})

    def _count(self, answer: Answered) -> None:
        usage = answer.reply.usage
        self.input_tokens += _tokens(usage, "input_tokens")
        self.output_tokens += _tokens(usage, "output_tokens")
        self.cost = None if self.cost is None or answer.cost is None else self.cost + answer.cost

    def _note(self, source: Literal["user"], message: str) -> None:
        self.transcript.add(
            Step(step_id=self.transcript.next_id(), source=source, message=message, timestamp=self._now())
        )

    def _write(self, answer: Answered, calls: list[Call], results: list[Result]) -> None:
        reply = answer.reply
        blocks = [block for block in reply.content or () if isinstance(block, dict)]
        thoughts = [clean(str(block.get("thinking", ""))) for block in blocks if block.get("type") == "thinking"]
        self.transcript.add(
            Step(
                step_id=self.transcript.next_id(),
                source="agent",
                message=clean(reply.completion or ""),
                timestamp=self._now(),
                model_name=clean(reply.model or ""),
                reasoning_content="\n".join(thoughts) or None,
                tool_calls=tuple(_as_tool_call(call) for call in calls),
                observation=_as_observation(calls, results) if calls else None,
                metrics=_as_metrics(answer, timed=self.timed),
                extra={"stop_reason": None if reply.stop_reason is None else clean(reply.stop_reason)},
            )
        )

    def _now(self) -> str | None:
        return datetime.now(UTC).isoformat(timespec="milliseconds") if self.timed else None

    def _ending(self, how: HowEnded, *, said: str = "") -> Ending:
        return Ending(
            how=how,
            steps=self.steps,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost=self.cost,
            said=clean(said, most=1000),
        )


def _tool_results(calls: list[Call], results: list[Result]) -> list[Block]:
    return [
        {"type": "tool_result", "tool_use_id": call.id, "content": result.text, "is_error": result.is_error}
        for call, result in zip(calls, results, strict=True)
    ]


def _as_tool_call(call: Call) -> ToolCall:
    return ToolCall(tool_call_id=call.id, function_name=call.asked_for, arguments=call.block()["input"])


def _as_observation(calls: list[Call], results: list[Result]) -> Observation:
    return Observation(
        results=tuple(
            ObservationResult(source_call_id=call.id, content=result.text)
            for call, result in zip(calls, results, strict=True)
        )
    )


def _as_metrics(answer: Answered, *, timed: bool) -> Metrics:
    usage = answer.reply.usage
    extra: dict[str, Any] = {"attempts": answer.attempts, "latency_s": round(answer.latency_s, 3)} if timed else {}
    if answer.reply.request_id is not None:
        extra["request_id"] = clean(answer.reply.request_id)
    return Metrics(
        prompt_tokens=_tokens(usage, "input_tokens"),
        completion_tokens=_tokens(usage, "output_tokens"),
        cached_tokens=_tokens(usage, "cache_read_input_tokens"),
        cost_usd=None if answer.cost is None else dollars(answer.cost),
        extra=extra,
    )


def _tokens(usage: dict[str, Any], name: str) -> int:
    found = usage.get(name)
    return found if type(found) is int and 0 <= found <= LARGEST_COUNT else 0
