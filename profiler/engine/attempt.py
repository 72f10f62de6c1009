"""What stands before a call, and what its reply or its failure means: decided here for every lane of the engine.

A reply ends its dialogue or is followed by the next turn. A failure means another try after a while, the end of the
dialogue, or the end of the run. Each of them settles the money of the call and teaches the provider's limits. Those who
make the calls (workers of the pool, agents that ask one thing at a time) obey.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from profiler.core.errors import CallError, ProviderFailed
from profiler.engine.call_cost import CallCost
from profiler.engine.job import Attempts, Job, sum_usage
from profiler.engine.limits.health import unheard

if TYPE_CHECKING:
    import anyio

    from profiler.core.nouns import Reply, Request
    from profiler.engine.call_cost import LedgerPlaces
    from profiler.engine.limits.provider_limits import ProviderLimits
    from profiler.manifest.settings import Retry
    from profiler.money.budget import Budget
    from profiler.provider.requests import Planner

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
ENDING = frozenset({"refusal", "tool_use", "model_context_window_exceeded"})


class TryAgain(NamedTuple):
    """The same request is sent once more, after a wait of its own or, in a push-back, after the wait of everyone."""

    wait_s: float


class GiveUp(NamedTuple):
    """The dialogue ends with this failure.

    `unheard`: nobody looked at the request, so the failure says nothing of the dialogue. `stop`: the reason to end the
    run too, when other dialogues would fare no better.
    """

    error: CallError
    unheard: bool
    stop: ProviderFailed | None


class StopRun(NamedTuple):
    """No other call can succeed either."""

    reason: ProviderFailed


def wait_before(attempt: int, error: CallError, *, jitter: float) -> float:
    """Seconds before the given attempt (2 is the first retry); what the provider asks for is a floor.

    `jitter` in [0, 1) spreads the retries of a burst over the upper half of the exponential wait.
    """
    longest = min(FIRST_WAIT_S * 2.0 ** min(attempt - 2, 32), LONGEST_WAIT_S)
    return max(longest * (0.5 + 0.5 * jitter), error.retry_after_s or 0.0)


def worth_another_try(error: CallError, *, tries: int, max_attempts: int, wait_s: float, left_s: float) -> bool:
    """Whether a failed call is tried again: the error may pass, and neither tries nor time have run out."""
    return error.retryable and tries < max_attempts and wait_s < left_s


def ends_early(reply: Reply) -> bool:
    """Whether a dialogue cannot go on after this reply, although it has turns left.

    The provider refuses an empty message of the assistant, a call of a tool that nobody answers and a prompt beyond the
    window, and wants a refused conversation to be dropped. A refusal in words alone is a message like any other.
    """
    return not reply.completion.strip() or reply.content is not None or reply.stop_reason in ENDING


class AttemptMachine:
    """Moves jobs from call to call.

    Not `timed`, it reads no clock for what is recorded, and only times that a client simulated count; with `real_replies`
    (those of somebody's own client) also the time that a reply took whose client does not say that it was simulated.
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
        timed: bool = True,
        real_replies: bool = False,
    ) -> None:
        self.limits = limits
        self.budget = budget
        self.timed = timed
        self.timeout_s = timeout_s
        self.retried = 0
        self._real_replies = real_replies
        self._retry = retry
        self._planner = planner
        self._ledger = ledger
        self._costs = budget is not None or ledger is not None
        self._waits = self._costs or limits is not None

    @property
    def held_up_by(self) -> str | None:
        """What calls stand in line for right now."""
        if self.budget is not None and self.budget.waiting:
            return "room under the cap"
        return None if self.limits is None else self.limits.holds_up

    def begin(self, request: Request) -> Job:
        cost = CallCost(self.budget, self._ledger, request.index) if self._costs else None
        return Job(request, time.monotonic(), Attempts(), cost)

    def leaves_at_once(self, job: Job) -> bool:
        """Whether nothing stands before a call, as before most. Its money is set aside then, and it counts as sent."""
        if job.attempts.wait_s:
            return False
        cost = job.cost
        if cost is not None and not cost.set_aside(job.request):
            return False
        if self.limits is None:
            return True
        job.draw = self.limits.try_admit(job.request)
        if job.draw is None and cost is not None:
            cost.give_back()
        return job.draw is not None

    async def leave(self, job: Job, *, give_up: anyio.Event) -> bool:
        """Wait until money and limits let the call go. False when `give_up` was set meanwhile.

        Raises `BudgetReached` when no money is left, and the `CallError` that the dialogue ends with when its time runs
        out while it stands in line.
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

    def take_wait(self, job: Job) -> float:
        """The seconds that this job has to wait by itself before its next call; asked once."""
        wait_s, job.attempts.wait_s = job.attempts.wait_s, 0.0
        return wait_s

    def begin_call(self, job: Job) -> float:
        """The call leaves now. Returns when it has to end: by its own time-out, or at the deadline of the dialogue."""
        attempts = job.attempts
        now = time.monotonic() if self._waits or attempts.calls else job.started
        if not attempts.calls:
            attempts.give_up_at = now + self._retry.deadline_s  # waiting in line is not the dialogue's own time
        attempts.called = now
        attempts.calls += 1
        if job.cost is not None:
            job.cost.leaves()
        ends, give_up = now + self.timeout_s, attempts.give_up_at
        return ends if ends < give_up else give_up  # noqa: FURB136 (min() costs a call)

    def answered(self, job: Job, reply: Reply) -> bool:
        """Settle a reply. Whether the dialogue goes on: then the job holds its next turn."""
        request, attempts = job.request, job.attempts
        if self.limits is not None and job.draw is not None:
            self.limits.succeeded(job.draw, reply, sent=len(request.body))
            job.draw = None
        if reply.latency_s is not None:
            attempts.client_s += reply.latency_s
        elif self.timed or self._real_replies:
            attempts.client_s += time.monotonic() - attempts.called
        if job.cost is not None:
            job.cost.answered(reply.usage)
        return request.dialogue.turns is not None and self._next_turn(job, reply)

    def _next_turn(self, job: Job, reply: Reply) -> bool:
        """Tries and failures are those of one request, so both begin anew; the deadline is that of the dialogue."""
        job.replies += (reply.completion,)
        known = reply.usage and job.usage != {}  # one turn of which nobody knows what it used makes the sum unknown
        job.usage = sum_usage(job.usage, reply.usage) if known else {}
        if self._planner is None or ends_early(reply):
            return False
        following = self._planner.next_turn(job.request, reply.completion)
        if following is None:
            return False
        job.request, job.attempts.tries, job.attempts.failed = following, 0, None
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
            wait_s = 0.0  # the limits let nobody through, nor anybody whose deadline comes before the end of the pause
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
        attempts.failed = error.with_traceback(None)  # which would hold on to this frame, and so to the job itself
        job.request = msgspec.structs.replace(request, attempt=request.attempt + 1)
        return TryAgain(attempts.wait_s)

    def too_late(self, job: Job) -> TryAgain | GiveUp | StopRun:
        """What becomes of a job whose call was ended because it took too long."""
        return self.failed(job, CallError("timeout", "no reply before the deadline", retryable=True))

    def give_up(self, error: CallError) -> GiveUp:
        """No more tries: a dialogue ends with this failure."""
        if self.limits is None:
            return GiveUp(error, unheard=False, stop=None)
        return GiveUp(error, unheard=unheard(error), stop=self.limits.gave_up(error))

    def cut_off(self, job: Job) -> None:
        """Nobody waits for the reply any more: the call may be billed, and says nothing of the provider."""
        error = CallError("cut_off", "nobody waits for the reply any more", retryable=True)
        if job.cost is not None:
            job.cost.failed(error)
        if self.limits is not None and job.draw is not None:
            self.limits.failed(job.draw, error)
            job.draw = None
