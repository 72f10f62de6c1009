"""Decides what must happen before a call, and what follows from its reply or failure.

A reply ends its dialogue or is followed by the next turn. A failure means another try after a while, the end of the
dialogue, or the end of the run. Either settles the money of the call and is reported to the provider's limits. The code
that makes the calls (the workers of the pool, the `Asker`) does what is decided here.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from profiler.core.errors import CallError, ProviderFailed
from profiler.engine.calls.call_cost import CallCost
from profiler.engine.calls.job import Attempts, Job, sum_usage
from profiler.engine.calls.run_clock import RunClock
from profiler.engine.calls.stream_times import with_turn
from profiler.engine.limits.health import unheard

if TYPE_CHECKING:
    import anyio

    from profiler.core.nouns import Reply, Request
    from profiler.engine.calls.call_cost import LedgerPlaces
    from profiler.engine.limits.provider_limits import ProviderLimits
    from profiler.manifest.settings import Retry
    from profiler.money.budget import Budget
    from profiler.provider.requests import Planner

Times = Literal["all", "replies", "none"]

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
# Stop reasons after which the provider would refuse a further turn.
ENDING = frozenset({"refusal", "tool_use", "model_context_window_exceeded"})


class TryAgain(NamedTuple):
    """The same request is sent once more after `wait_s`; 0 when everyone pauses anyway."""

    wait_s: float


class GiveUp(NamedTuple):
    """The dialogue ends with this failure.

    `unheard`: the request was never looked at, so the failure says nothing about the dialogue. `stop`: the reason to
    end the whole run, when other dialogues would fare no better.
    """

    error: CallError
    unheard: bool
    stop: ProviderFailed | None


class StopRun(NamedTuple):
    """No other call can succeed either."""

    reason: ProviderFailed


def wait_before(attempt: int, error: CallError, *, jitter: float) -> float:
    """Seconds to wait before the given attempt (2 is the first retry), at least what the provider asks for.

    `jitter` in [0, 1) spreads the retries of a burst over the upper half of the exponential wait.
    """
    longest = min(FIRST_WAIT_S * 2.0 ** min(attempt - 2, 32), LONGEST_WAIT_S)
    return max(longest * (0.5 + 0.5 * jitter), error.retry_after_s or 0.0)


def worth_another_try(error: CallError, *, tries: int, max_attempts: int, wait_s: float, left_s: float) -> bool:
    """Whether a failed call is tried again: the error may pass, and neither tries nor time have run out."""
    return error.retryable and tries < max_attempts and wait_s < left_s


def ends_early(reply: Reply) -> bool:
    """Whether a dialogue cannot go on after this reply, although it has turns left.

    The provider refuses a conversation that holds an empty message of the assistant, a tool call that nobody answered,
    or more than fits into the context window, and a refused conversation should be dropped. A refusal in words alone is
    a message like any other.
    """
    return not reply.completion.strip() or reply.content is not None or reply.stop_reason in ENDING


class AttemptMachine:
    """Moves jobs from call to call.

    `times` says for which times a clock is read. "all": in live mode. "none": with the mock, where only the latencies that it
    simulates count, so that equal runs give equal files. "replies": with a client of the user's own in mock mode, whose
    replies take the time that they really take unless it simulates one.
    """

    def __init__(
        self,
        *,
        retry: Retry,
        timeout_s: float,
        planner: Planner | None = None,
        limits: ProviderLimits | None = None,
        budget: Budget | None = None,
        ledger: LedgerPlaces | None = None,
        times: Times = "all",
        clock: RunClock | None = None,
    ) -> None:
        self.limits = limits
        self.clock = clock or RunClock()
        self._clock_stands = True
        self.budget = budget
        self.timed = times == "all"
        self.timeout_s = timeout_s
        self.retried = 0
        self._replies_timed = times != "none"
        self._retry = retry
        self._planner = planner
        self._ledger = ledger
        self._costs = budget is not None or ledger is not None

    @property
    def held_up_by(self) -> str | None:
        """What calls are waiting for right now, in words."""
        if self.budget is not None and self.budget.waiting:
            return "room under the cap"
        return None if self.limits is None else self.limits.holds_up

    def begin(self, request: Request) -> Job:
        cost = CallCost(self.budget, self._ledger, request.index) if self._costs else None
        return Job(request, time.monotonic(), Attempts(), cost)

    def leaves_at_once(self, job: Job) -> bool:
        """Whether a call need not wait for anything, as most need not.

        If so, its money is set aside and it counts against the limits: the caller must send it, and it leaves now
        (`called`). If not, it waits in `leave`.
        """
        attempts = job.attempts
        if attempts.wait_s:
            return False
        attempts.called = now = time.monotonic() if attempts.calls else job.started  # its job began right before this
        cost = job.cost
        if cost is not None and not cost.set_aside(job.request):
            return False
        if self.limits is None:
            return True
        job.draw = self.limits.try_admit(job.request, now)
        if job.draw is None and cost is not None:
            cost.give_back()
        return job.draw is not None

    async def leave(self, job: Job, *, give_up: anyio.Event) -> bool:
        """Wait until money and limits let the call go. False when `give_up` was set meanwhile.

        Raises `BudgetReached` when no money is left, and the `CallError` that ends the dialogue when its time runs out
        in the queue.
        """
        cost = job.cost
        if cost is not None and not await cost.wait_for_room(job.request, give_up=give_up):
            return False
        if self.limits is None:
            return True
        job.draw = None
        try:
            job.draw = await self.limits.admit(job.request, give_up=give_up, by=job.attempts.give_up_at)
        finally:
            if job.draw is None and cost is not None:
                cost.give_back()
        if job.draw is None and not give_up.is_set():
            raise job.attempts.failed or CallError("timeout", "stood in line until its deadline", sent=False)
        return job.draw is not None

    def stays(self, job: Job) -> None:
        """The call is not made after all: what it took of money and limits is given back."""
        if job.cost is not None:
            job.cost.give_back()
        if self.limits is not None and job.draw is not None:
            self.limits.stayed(job.draw)
            job.draw = None

    def take_wait(self, job: Job) -> float:
        """Take the seconds that this job must wait before its next call; afterwards there is nothing left to wait for."""
        wait_s, job.attempts.wait_s = job.attempts.wait_s, 0.0
        return wait_s

    def begin_call(self, job: Job, now: float | None = None) -> float:
        """Note that the call leaves, now. Returns the moment by which it must have ended.

        That is its own time-out or the deadline of the dialogue, whichever comes first.
        """
        attempts = job.attempts
        if now is None:
            now = time.monotonic()
        if not attempts.calls:
            # counted from here: time in the queue is not the dialogue's
            attempts.give_up_at = now + self._retry.deadline_s
            if self._clock_stands:
                self._clock_stands, self.clock.first_call = False, now
        attempts.called = now
        attempts.calls += 1
        if job.cost is not None:
            job.cost.leaves()
        ends, give_up = now + self.timeout_s, attempts.give_up_at
        return ends if ends < give_up else give_up  # noqa: FURB136 (min() costs a call)

    def answered(self, job: Job, reply: Reply) -> bool:
        """Settle a reply. Returns whether the dialogue goes on; the job then holds the request for its next turn."""
        request, attempts = job.request, job.attempts
        if self._replies_timed:
            attempts.ended = time.monotonic()
        if self.limits is not None and job.draw is not None:
            self.limits.succeeded(job.draw, reply, sent=len(request.body))
            job.draw = None
        if reply.latency_s is not None:
            attempts.client_s += reply.latency_s
        elif self._replies_timed:
            attempts.client_s += attempts.ended - attempts.called
        if job.cost is not None:
            job.cost.answered(reply.usage)
        return request.dialogue.turns is not None and self._next_turn(job, reply)

    def _next_turn(self, job: Job, reply: Reply) -> bool:
        """Move the job to its next turn, if there is one. Tries and failures begin anew, the deadline does not."""
        job.replies += (reply.completion,)
        job.usage = sum_usage(job.usage, reply.usage)
        if self._planner is None or ends_early(reply):
            return False
        following = self._planner.next_turn(job.request, reply.completion)
        if following is None:
            return False
        job.request, job.attempts.tries, job.attempts.failed = following, 0, None
        job.streamed = with_turn(job.streamed, reply)
        return True

    def failed(self, job: Job, error: CallError) -> TryAgain | GiveUp | StopRun:
        """Settle a failed call, and decide what becomes of its job."""
        attempts, request, limits = job.attempts, job.request, self.limits
        now = time.monotonic()
        if self.timed:
            attempts.client_s += now - attempts.called
        if job.cost is not None:
            job.cost.failed(error)
        wait_s = wait_before(request.attempt + 1, error, jitter=random.random())  # noqa: S311 (no secret)
        if limits is not None and job.draw is not None:
            costs_attempt, everyone_waits = limits.failed(job.draw, error)
            job.draw = None
        else:
            costs_attempt, everyone_waits = True, False
        if everyone_waits:
            # the limits hold everybody back, and end dialogues whose deadline comes before the end of the pause
            wait_s = 0.0
        if error.fatal:
            return StopRun(ProviderFailed(f"the provider refuses to go on: {error.message}"))
        attempts.tries += costs_attempt
        left_s = attempts.give_up_at - now
        if not worth_another_try(
            error, tries=attempts.tries, max_attempts=self._retry.max_attempts, wait_s=wait_s, left_s=left_s
        ):
            return self.give_up(error)
        self.retried += 1
        attempts.wait_s = wait_s
        attempts.failed = error.with_traceback(None)  # a traceback would keep this frame, and so the job, alive
        job.request = msgspec.structs.replace(request, attempt=request.attempt + 1)
        return TryAgain(attempts.wait_s)

    def too_late(self, job: Job) -> TryAgain | GiveUp | StopRun:
        """Decide what becomes of a job whose call took too long and was cancelled."""
        return self.failed(job, CallError("timeout", "no reply before the deadline", retryable=True))

    def give_up(self, error: CallError) -> GiveUp:
        """The dialogue ends with this failure; no more tries."""
        if self.limits is None:
            return GiveUp(error, unheard=False, stop=None)
        return GiveUp(error, unheard=unheard(error), stop=self.limits.gave_up(error))

    def cut_off(self, job: Job) -> None:
        """A call was cancelled because nobody waits for its reply any more.

        It may be billed, and says nothing of the provider.
        """
        error = CallError("cut_off", "nobody waits for the reply any more", retryable=True)
        if job.cost is not None:
            job.cost.failed(error)
        if self.limits is not None and job.draw is not None:
            self.limits.failed(job.draw, error)
            job.draw = None
