"""Makes the record of each dialogue that ends, and passes it to the writer.

Some failures say nothing about their dialogue, because the request was never looked at. Such an end is held back until
another reply shows that the provider is up, or until the run ends.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from profiler.core.nouns import Failure, Record
from profiler.provider.reply_type import classify

if TYPE_CHECKING:
    from profiler.core.errors import CallError
    from profiler.core.nouns import Reply
    from profiler.engine.job import Job
    from profiler.storage.writer import Writer


class Results:
    """The ends of a run's dialogues. When not `timed`, no times are recorded, so that equal runs give equal bytes."""

    def __init__(self, writer: Writer, *, timed: bool) -> None:
        self.failures: dict[str, int] = {}
        self._writer = writer
        self._timed = timed
        self._held: list[tuple[Job, CallError, float]] = []

    def answered(self, job: Job, reply: Reply) -> None:
        self._writer.put(record_reply(job, reply, queue_s=self._queue_s(job)))

    def failed(self, job: Job, error: CallError) -> None:
        self._failed(job, error, queue_s=self._queue_s(job))

    def hold(self, job: Job, error: CallError) -> None:
        """Hold an end back: how the others fare shows whether it is the dialogue's. Its waiting time is taken now."""
        self._held.append((job, error, self._queue_s(job)))

    @property
    def held(self) -> CallError | None:
        """The last failure that is held back."""
        return self._held[-1][1] if self._held else None

    def release(self) -> None:
        """The others fare better, so the failures held back are those of their dialogues: record them."""
        held, self._held = self._held, []
        for job, error, queue_s in held:
            self._failed(job, error, queue_s=queue_s)

    def _failed(self, job: Job, error: CallError, *, queue_s: float) -> None:
        self.failures[error.kind] = self.failures.get(error.kind, 0) + 1
        self._writer.put(record_failure(job, error, queue_s=queue_s))

    def _queue_s(self, job: Job) -> float:
        """How long the dialogue waited outside the client: for its slot and between its tries."""
        return micro(max(0.0, time.monotonic() - job.started - job.attempts.client_s)) if self._timed else 0.0


def record_reply(job: Job, reply: Reply, *, queue_s: float) -> Record:
    request, attempts, cost = job.request, job.attempts, job.cost
    return Record(
        request.dialogue.dialogue_id,
        request.index,
        reply.completion,
        classify(reply.completion, reply.stop_reason, reply.metadata),
        reply.stop_reason,
        reply.model,
        (reply.usage if job.usage is None else job.usage) or None,
        micro(attempts.client_s),
        queue_s,
        attempts.calls - request.turn,  # the first call of each turn is not a retry
        reply.request_id,
        None if cost is None else cost.cost_usd,
        None,
        job.replies or msgspec.UNSET,
        msgspec.UNSET if cost is None or not cost.maybe else cost.maybe_usd,
        msgspec.UNSET if request.repeat is None else request.repeat,
    )


def record_failure(job: Job, error: CallError, *, queue_s: float) -> Record:
    request, attempts, cost = job.request, job.attempts, job.cost
    return Record(
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
        replies=job.replies or msgspec.UNSET,
        maybe_usd=msgspec.UNSET if cost is None or not cost.maybe else cost.maybe_usd,
        repeat=msgspec.UNSET if request.repeat is None else request.repeat,
    )


def micro(seconds: float) -> float:
    """Round to whole microseconds."""
    return round(seconds, 6)
