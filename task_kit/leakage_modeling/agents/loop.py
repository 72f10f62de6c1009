"""One episode of an agent: asks the model, does what it calls for, tells it what came of it, until it has submitted.

Comes in: the prompt, the tools and somebody who can ask (the engine's `Asker`, with its limits and retries). Goes out: how
the episode ended. Every call of a tool is answered, also those that were cut off. A step is one reply of the model; steps
and tokens a step are limited. Knows nothing of worlds or of verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

import anyio.to_thread

from profiler.core.errors import CallError
from profiler.core.json import dumps
from profiler.core.nouns import Params
from profiler.engine.asker import Answer, request_of
from profiler.money.prices import dollars
from task_kit.leakage_modeling.agents.tools import SUBMIT, Result, schemas
from task_kit.leakage_modeling.agents.transcript import Metrics, Observation, ObservationResult, Step, ToolCall

if TYPE_CHECKING:
    from anyio import CapacityLimiter

    from profiler.core.nouns import Reply, Request
    from task_kit.leakage_modeling.agents.tools import Toolbox
    from task_kit.leakage_modeling.agents.transcript import Transcript
    from task_kit.leakage_modeling.worker.fitter import Submission

WARNED_BELOW = 4
CUT_OFF = "Not run: the message was cut off at {max_tokens} tokens in the middle of this call. Send it again, shorter."
NUDGES = {
    "max_tokens": f"The message was cut off at {{max_tokens}} tokens. Call a tool, with less; {SUBMIT} ends the episode.",
    "refusal": f"Nothing was submitted. Go on with a tool if you can; {SUBMIT} ends the episode.",
}
NUDGE = f"No tool was called, and nothing has been submitted. Go on with a tool; {SUBMIT} ends the episode."
LAST = "This is the last step: only a submission counts now."

HowEnded = Literal["submitted", "no_submission", "context_full", "provider"]
Block = dict[str, Any]


class Asks(Protocol):
    async def ask(self, request: Request) -> Answer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an episode may use up."""

    model: str
    max_steps: int = 20
    max_tokens: int = 1000
    stdout_chars: int = 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an episode ended, and what it took. `cost` in pico-dollars, None where a price is not known."""

    how: HowEnded
    steps: int
    submission: Submission | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int | None = 0
    said: str = ""


@dataclass(slots=True, kw_only=True)
class Episode:
    """One conversation on its way."""

    name: str
    rules: Rules
    prompt: str
    tools: Toolbox
    transcript: Transcript
    threads: CapacityLimiter
    timed: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int | None = 0

    async def play(self, asker: Asks) -> Ending:
        """Step by step. What the provider does not answer ends the episode without a judgement of it."""
        self._tell([{"type": "text", "text": self.prompt}])
        self._note("user", self.prompt)
        for step in range(1, self.rules.max_steps + 1):
            try:
                answer = await asker.ask(self._request())
            except CallError as error:
                return self._ending("provider", steps=step - 1, said=f"{error.kind}: {error.message}")
            self._count(answer)
            await self._follow(answer, left=self.rules.max_steps - step)
            if self.tools.submission is not None:
                return self._ending("submitted", steps=step)
            if answer.reply.stop_reason == "model_context_window_exceeded":
                return self._ending("context_full", steps=step, said="the conversation no longer fits into the context")
        return self._ending("no_submission", steps=self.rules.max_steps, said="the steps were used up")

    def _request(self) -> Request:
        rules = self.rules
        body = {
            "model": rules.model,
            "max_tokens": rules.max_tokens,
            "tools": schemas(stdout_chars=rules.stdout_chars),
            "messages": self.messages,
        }
        return request_of(dumps(body), name=self.name, params=Params(model=rules.model, max_tokens=rules.max_tokens))

    async def _follow(self, answer: Answer, *, left: int) -> None:
        """Do what the reply calls for, write it down, and say what the model hears next."""
        reply = answer.reply
        blocks = _blocks(reply)
        calls = [block for block in blocks if block["type"] == "tool_use"]
        cut_off = calls[-1] if calls and reply.stop_reason == "max_tokens" and calls[-1] is blocks[-1] else None
        results = await anyio.to_thread.run_sync(
            self._call_all, calls, cut_off, limiter=self.threads, abandon_on_cancel=True
        )
        self._write(answer, calls, results)
        if blocks:
            self.messages.append({"role": "assistant", "content": blocks})
        if self.tools.submission is None and left:
            self._tell([*_tool_results(calls, results), *self._remarks(reply, called=bool(calls), left=left)])

    def _call_all(self, calls: list[Block], cut_off: Block | None) -> list[Result]:
        """In the order in which they were made; blocks until all are done."""
        return [self._cut_off_result() if call is cut_off else self._call(call) for call in calls]

    def _call(self, call: Block) -> Result:
        return self.tools.call(str(call.get("name")), call.get("input"))

    def _cut_off_result(self) -> Result:
        return Result(text=CUT_OFF.format(max_tokens=self.rules.max_tokens), is_error=True)

    def _remarks(self, reply: Reply, *, called: bool, left: int) -> list[Block]:
        """What is said beside the results: a nudge when there are none, the steps that are left when they are few."""
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
        """Say something as the user; two messages of one side in a row become one."""
        if self.messages and self.messages[-1]["role"] == "user":
            self.messages[-1]["content"].extend(blocks)
        else:
            self.messages.append({"role": "user", "content": blocks})

    def _count(self, answer: Answer) -> None:
        usage = answer.reply.usage
        self.input_tokens += _tokens(usage, "input_tokens")
        self.output_tokens += _tokens(usage, "output_tokens")
        self.cost = None if self.cost is None or answer.cost is None else self.cost + answer.cost

    def _note(self, source: Literal["user"], message: str) -> None:
        self.transcript.add(
            Step(step_id=self.transcript.next_id(), source=source, message=message, timestamp=self._now())
        )

    def _write(self, answer: Answer, calls: list[Block], results: list[Result]) -> None:
        reply = answer.reply
        thoughts = [str(block.get("thinking", "")) for block in reply.content or () if block.get("type") == "thinking"]
        self.transcript.add(
            Step(
                step_id=self.transcript.next_id(),
                source="agent",
                message=reply.completion,
                timestamp=self._now(),
                model_name=reply.model,
                reasoning_content="\n".join(thoughts) or None,
                tool_calls=tuple(_as_tool_call(call) for call in calls),
                observation=_as_observation(calls, results) if calls else None,
                metrics=_as_metrics(answer, timed=self.timed),
                extra={"stop_reason": reply.stop_reason},
            )
        )

    def _now(self) -> str | None:
        return datetime.now(UTC).isoformat(timespec="milliseconds") if self.timed else None

    def _ending(self, how: HowEnded, *, steps: int, said: str = "") -> Ending:
        return Ending(
            how=how,
            steps=steps,
            submission=self.tools.submission,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost=self.cost,
            said=said,
        )


def _blocks(reply: Reply) -> list[Block]:
    """What goes back to the model as its own words: as they came, but for empty texts, which the provider refuses."""
    blocks = reply.content if reply.content is not None else [{"type": "text", "text": reply.completion}]
    return [block for block in blocks if block.get("type") != "text" or str(block.get("text", "")).strip()]


def _tool_results(calls: list[Block], results: list[Result]) -> list[Block]:
    return [
        {"type": "tool_result", "tool_use_id": call.get("id"), "content": result.text, "is_error": result.is_error}
        for call, result in zip(calls, results, strict=True)
    ]


def _as_tool_call(call: Block) -> ToolCall:
    given = call.get("input")
    arguments = given if isinstance(given, dict) else {"input": given}
    return ToolCall(tool_call_id=str(call.get("id")), function_name=str(call.get("name")), arguments=arguments)


def _as_observation(calls: list[Block], results: list[Result]) -> Observation:
    return Observation(
        results=tuple(
            ObservationResult(source_call_id=str(call.get("id")), content=result.text)
            for call, result in zip(calls, results, strict=True)
        )
    )


def _as_metrics(answer: Answer, *, timed: bool) -> Metrics:
    usage = answer.reply.usage
    extra: dict[str, Any] = {"attempts": answer.attempts, "latency_s": round(answer.latency_s, 3)} if timed else {}
    if answer.reply.request_id is not None:
        extra["request_id"] = answer.reply.request_id
    return Metrics(
        prompt_tokens=_tokens(usage, "input_tokens"),
        completion_tokens=_tokens(usage, "output_tokens"),
        cached_tokens=_tokens(usage, "cache_read_input_tokens"),
        cost_usd=None if answer.cost is None else dollars(answer.cost),
        extra=extra,
    )


def _tokens(usage: dict[str, Any], name: str) -> int:
    found = usage.get(name)
    return found if type(found) is int else 0
