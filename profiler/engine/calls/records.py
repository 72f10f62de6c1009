"""Makes the record of each dialogue that ends, and passes it to the writer.

Some failures say nothing about their dialogue, because the request was never looked at. Such an end is held back until
another reply shows that the provider is up, or until the run ends.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from profiler.core.nouns import Failure, Record
from profiler.engine.calls.stream_times import with_turn
from profiler.provider.reply_type import classify

if TYPE_CHECKING:
    from collections.abc import Iterable

    from profiler.core.errors import CallError
    from profiler.core.nouns import Reply
    from profiler.engine.calls.job import Job
    from profiler.engine.calls.run_clock import RunClock
    from profiler.engine.calls.stream_times import StreamTimes
    from profiler.storage.writing.writer import Writer


UNTIMED: Final[tuple[float | UnsetType, float]] = (UNSET, 0.0)


class Records:
    """Makes the records of dialogues that end. Without a `clock` it records no times, so that equal runs give equal bytes."""

    def __init__(self, writer: Writer, *, clock: RunClock | None) -> None:
        self.failures: dict[str, int] = {}
        self._writer = writer
        self._clock = clock
        self.holding = False
        self._held: list[tuple[Job, CallError, float]] = []  # each with the moment of its end

    def answered(self, job: Job, reply: Reply) -> None:
        self._writer.put(record_reply(job, reply, clock=self._clock))

    def failed(self, job: Job, error: CallError) -> None:
        self._failed(job, error, ended=time.monotonic())

    def hold(self, job: Job, error: CallError) -> None:
        """Hold back a failure that may be the provider's rather than the dialogue's. It ends now all the same."""
        self._held.append((job, error, time.monotonic()))
        self.holding = True

    @property
    def held(self) -> CallError | None:
        """The last failure that is held back."""
        return self._held[-1][1] if self._held else None

    def release(self) -> None:
        """Another call got through, so the failures held back are the dialogues' own: record them."""
        held, self._held, self.holding = self._held, [], False
        for job, error, ended in held:
            self._failed(job, error, ended=ended)

    def _failed(self, job: Job, error: CallError, *, ended: float) -> None:
        self.failures[error.kind] = self.failures.get(error.kind, 0) + 1
        self._writer.put(record_failure(job, error, clock=self._clock, ended=ended))


def _times(job: Job, clock: RunClock, ended: float) -> tuple[float | UnsetType, float]:
    """When a dialogue ended, from the first call of the run on, and how long it was outside of the client until then."""
    outside = ended - job.started - job.attempts.client_s
    return micro(clock.at(ended)), micro(outside) if outside > 0.0 else 0.0


def record_reply(job: Job, reply: Reply, *, clock: RunClock | None) -> Record:
    request, attempts, cost = job.request, job.attempts, job.cost
    at_s, queue_s = UNTIMED if clock is None else _times(job, clock, attempts.ended)
    record = Record(
        request.dialogue.dialogue_id,
        request.index,
        reply.completion,
        classify(reply.completion, reply.stop_reason, reply.metadata),
        reply.stop_reason,
        reply.model,
        (reply.usage if job.usage is None else job.usage) or None,
        micro(attempts.client_s) if attempts.client_s else 0.0,  # the mock's is 0
        queue_s,
        attempts.calls - request.turn,  # the first call of each turn is not a retry
        reply.request_id,
        None if cost is None else cost.cost_usd,
        None,
        job.replies or UNSET,
        UNSET if cost is None or not cost.maybe else cost.maybe_usd,
        UNSET if request.repeat is None else request.repeat,
        at_s,
    )
    if reply.metadata or reply.content is not None:
        record = _with_what_was_said(record, reply)
    streamed = reply.ttft_s is not None or job.streamed is not None
    if streamed or (at_s is not UNSET and (attempts.held_s or attempts.between_s)):
        return _with_times(record, job, with_turn(job.streamed, reply) if streamed else None)
    return record


def _with_what_was_said(record: Record, reply: Reply) -> Record:
    """The record with the tool calls of the reply, and with what the provider says about a refusal; few have either."""
    if calls := tool_calls(reply.content or ()):
        record = msgspec.structs.replace(record, tool_calls=calls)
    if isinstance(details := reply.metadata.get("stop_details"), dict) and details:
        record = msgspec.structs.replace(record, stop_details=details)
    return record


def tool_calls(content: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tool calls among the blocks of a reply: name of the tool and its input."""
    return [
        {name: block[name] for name in ("id", "name", "input") if name in block}
        for block in content
        if block.get("type") == "tool_use"
    ]


def record_failure(job: Job, error: CallError, *, clock: RunClock | None, ended: float) -> Record:
    request, attempts, cost = job.request, job.attempts, job.cost
    at_s, queue_s = UNTIMED if clock is None else _times(job, clock, ended)
    record = Record(
        dialogue_id=request.dialogue.dialogue_id,
        index=request.index,
        completion=None,
        type="error",
        stop_reason=None,
        model=None,
        usage=job.usage or None,
        latency_s=micro(attempts.client_s),
        queue_s=queue_s,
        attempts=attempts.calls - request.turn,
        request_id=error.request_id,
        cost_usd=None if cost is None else cost.cost_usd,
        error=Failure(type=error.kind, message=error.message, status=error.status, request_id=error.request_id),
        replies=job.replies or UNSET,
        maybe_usd=UNSET if cost is None or not cost.maybe else cost.maybe_usd,
        repeat=UNSET if request.repeat is None else request.repeat,
        at_s=at_s,
    )
    return record if at_s is UNSET else _with_times(record, job, None)


def _with_times(record: Record, job: Job, streamed: StreamTimes | None) -> Record:
    """The record with the times that few dialogues have. Waits are measured only where times are recorded at all."""
    more = {} if streamed is None else streamed.record_fields(record.usage)
    if record.at_s is not UNSET:
        waits = {"held_s": micro(job.attempts.held_s), "between_s": micro(job.attempts.between_s)}
        more |= {name: seconds for name, seconds in waits.items() if seconds}
    return msgspec.structs.replace(record, **more)


def micro(seconds: float) -> float:
    """Round to whole microseconds. `round` writes a decimal number and reads it again, which takes twice as long."""
    return int(seconds * 1e6 + 0.5) / 1e6
