"""How dialogues end: their records, with what they cost and how long they waited; and those whose end is held back.

Comes in: jobs with their replies, or with the failures that nothing more is tried against. Goes out: records, to the
writer. Decides neither when a dialogue ends nor for how long it is held back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from profiler.engine.job import micro, record_failure, record_reply

if TYPE_CHECKING:
    from profiler.core.errors import CallError
    from profiler.core.nouns import Reply
    from profiler.engine.call_cost import Till
    from profiler.engine.job import Job
    from profiler.storage.writer import Writer


class Ending:
    """Where jobs of a run end. Not `timed`, it records no times of its own."""

    def __init__(self, writer: Writer, *, till: Till | None, timed: bool) -> None:
        self.failures: dict[str, int] = {}
        self._writer = writer
        self._till = till
        self._timed = timed
        self._held: list[tuple[Job, CallError, float]] = []

    def answered(self, job: Job, reply: Reply) -> None:
        self._writer.put(record_reply(job, reply, queue_s=self._queue_s(job), cost_usd=self._price_of(job)))

    def failed(self, job: Job, error: CallError) -> None:
        self._record(job, error, queue_s=self._queue_s(job))

    def hold(self, job: Job, error: CallError) -> None:
        """A failure that says nothing of its dialogue: whether it ends so, the others show."""
        self._held.append((job, error, self._queue_s(job)))

    @property
    def held(self) -> CallError | None:
        """The last failure that is held back."""
        return self._held[-1][1] if self._held else None

    def release(self) -> None:
        """The others fare better, so what is held back is the failure of its dialogues."""
        held, self._held = self._held, []
        for job, error, queue_s in held:
            self._record(job, error, queue_s=queue_s)

    def _record(self, job: Job, error: CallError, *, queue_s: float) -> None:
        self.failures[error.kind] = self.failures.get(error.kind, 0) + 1
        self._writer.put(record_failure(job, error, queue_s=queue_s, cost_usd=self._price_of(job)))

    def _price_of(self, job: Job) -> float | None:
        return None if self._till is None else self._till.price_of(job)

    def _queue_s(self, job: Job) -> float:
        """What the dialogue waited outside the client: for its slot and between its tries."""
        return micro(max(0.0, time.monotonic() - job.started - job.client_s)) if self._timed else 0.0
