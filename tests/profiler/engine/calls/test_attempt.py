from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.errors import CallError
from profiler.engine.calls.attempt import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    AttemptMachine,
    StopRun,
    TryAgain,
    wait_before,
    worth_another_try,
)
from profiler.engine.limits.provider_limits import ProviderLimits
from profiler.engine.limits.rate_gate import RateGate
from profiler.engine.slots import Slots
from profiler.manifest.settings import RateLimits, Retry
from profiler.money.budget import Budget
from profiler.provider.requests import Planner
from tests.profiler.building import PARAMS, dialogue
from tests.profiler.engine.calls.test_call_cost import HAIKU

if TYPE_CHECKING:
    from profiler.engine.calls.job import Job

ATTEMPTS = st.integers(min_value=2, max_value=10_000)
JITTER = st.floats(min_value=0, max_value=1, exclude_max=True)
PASSING = CallError("overloaded", "", retryable=True)


def asked_to_wait(seconds: float | None) -> CallError:
    return CallError("rate_limited", "", retryable=True, retry_after_s=seconds)


@given(attempt=ATTEMPTS, jitter=JITTER)
def test_a_later_attempt_never_waits_less(attempt: int, jitter: float) -> None:
    assert wait_before(attempt, PASSING, jitter=jitter) <= wait_before(attempt + 1, PASSING, jitter=jitter)


@given(attempt=ATTEMPTS, jitter=JITTER)
def test_the_wait_lies_in_the_upper_half_of_the_exponential(attempt: int, jitter: float) -> None:
    longest = min(FIRST_WAIT_S * 2.0 ** min(attempt - 2, 100), LONGEST_WAIT_S)
    assert longest / 2 <= wait_before(attempt, PASSING, jitter=jitter) <= longest


def test_the_first_waits_double_from_half_a_second() -> None:
    waits = [wait_before(attempt, PASSING, jitter=0.0) * 2 for attempt in range(2, 6)]
    assert waits == [0.5, 1.0, 2.0, 4.0]


@given(attempt=ATTEMPTS, jitter=JITTER, floor=st.none() | st.floats(min_value=0, max_value=1e6))
def test_what_the_provider_asks_for_is_a_floor(attempt: int, jitter: float, floor: float | None) -> None:
    own = wait_before(attempt, PASSING, jitter=jitter)
    assert wait_before(attempt, asked_to_wait(floor), jitter=jitter) == max(own, floor or 0.0)


def test_only_errors_that_pass_are_tried_again() -> None:
    lasting = CallError("invalid_request", "", status=400)
    assert worth_another_try(PASSING, tries=1, max_attempts=2, wait_s=1, left_s=2)
    assert not worth_another_try(lasting, tries=1, max_attempts=2, wait_s=1, left_s=2)


def test_the_last_attempt_is_the_last() -> None:
    assert worth_another_try(PASSING, tries=3, max_attempts=4, wait_s=0, left_s=1)
    assert not worth_another_try(PASSING, tries=4, max_attempts=4, wait_s=0, left_s=1)


def test_no_wait_goes_beyond_the_deadline() -> None:
    assert worth_another_try(PASSING, tries=1, max_attempts=9, wait_s=1.0, left_s=1.5)
    assert not worth_another_try(PASSING, tries=1, max_attempts=9, wait_s=1.0, left_s=1.0)
    assert not worth_another_try(PASSING, tries=1, max_attempts=9, wait_s=0.0, left_s=-1.0)


def machine(*, max_attempts: int = 3, gate: RateGate | None = None, budget: Budget | None = None) -> AttemptMachine:
    limits = None if gate is None else ProviderLimits(gate, slots=Slots(4), longest_pause_s=60)
    return AttemptMachine(
        retry=Retry(max_attempts=max_attempts, deadline_s=60),
        timeout_s=10,
        planner=Planner(PARAMS),
        limits=limits,
        budget=budget,
    )


def called(one: AttemptMachine, *, times: int = 1, **fields: Any) -> Job:
    """A job whose call is under way, for the so-many-th time."""
    job = one.begin(Planner(PARAMS).request(0, dialogue(**fields)))
    assert one.leaves_at_once(job)
    one.begin_call(job)
    job.request = msgspec.structs.replace(job.request, attempt=times)
    return job


@pytest.mark.parametrize("asked_s", [None, 0.0, 5.0])
def test_a_rate_limit_is_not_given_up_for_the_wait_that_nobody_keeps(asked_s: float | None) -> None:
    """Everyone pauses at the limits; by itself the job would wait a minute before its next call."""
    one = machine(max_attempts=1, gate=RateGate())
    job = called(one, times=30)
    job.attempts.give_up_at -= 50
    error = CallError("rate_limited", "slow", status=429, retryable=True, retry_after_s=asked_s)

    assert one.failed(job, error) == TryAgain(0.0)
    assert (job.attempts.tries, job.request.attempt, one.retried) == (0, 31, 1)


def test_an_overload_that_is_one_of_a_kind_makes_its_own_dialogue_wait_and_costs_it_no_try() -> None:
    one = machine(max_attempts=1, gate=RateGate())
    job = called(one)
    decision = one.failed(job, CallError("overloaded", "busy", status=529, retryable=True))

    assert isinstance(decision, TryAgain)
    assert decision.wait_s > 0
    assert job.attempts.tries == 0
    assert one.leaves_at_once(one.begin(job.request))


def test_a_call_ends_at_its_own_time_or_at_the_deadline_of_its_dialogue() -> None:
    one = machine()
    job = called(one)
    first = job.attempts.called
    assert one.begin_call(job) <= job.attempts.called + 10
    job.attempts.give_up_at = first + 1

    assert one.begin_call(job) == first + 1
    assert job.attempts.calls == 3


def test_the_wait_of_a_retry_is_taken_once() -> None:
    one = machine()
    job = called(one)
    decision = one.failed(job, PASSING)

    assert isinstance(decision, TryAgain)
    assert not one.leaves_at_once(job)
    assert one.take_wait(job) == decision.wait_s > 0
    assert one.leaves_at_once(job)


def test_a_failure_keeps_no_hold_of_where_it_was_raised() -> None:
    one = machine()
    job = called(one)
    with pytest.raises(CallError) as raised:
        raise CallError("overloaded", "", retryable=True)
    one.failed(job, raised.value)

    assert job.attempts.failed is not None
    assert job.attempts.failed.__traceback__ is None


def test_a_fatal_failure_ends_the_run_with_what_the_provider_said() -> None:
    one = machine()
    decision = one.failed(called(one), CallError("authentication", "no such key", status=401, fatal=True))

    assert isinstance(decision, StopRun)
    assert str(decision.reason) == "the provider refuses to go on: no such key"


@pytest.mark.parametrize("drains", [True, False])
async def test_a_call_that_the_limits_do_not_let_go_gives_its_money_back(drains: bool) -> None:
    gate, budget = RateGate(RateLimits(requests_per_minute=1)), Budget(HAIKU)
    one = machine(gate=gate, budget=budget)
    called(one)
    taken = budget.reserved
    job = one.begin(Planner(PARAMS).request(1, dialogue(1)))
    give_up = anyio.Event()
    assert not one.leaves_at_once(job)
    assert budget.reserved == taken

    if drains:
        give_up.set()
        assert not await one.leave(job, give_up=give_up)
    else:
        job.attempts.give_up_at = job.started
        with pytest.raises(CallError, match="stood in line until its deadline"):
            await one.leave(job, give_up=give_up)
    assert budget.reserved == taken


def test_a_call_that_nobody_waits_for_any_more_may_be_billed_and_frees_what_it_drew() -> None:
    gate, budget = RateGate(), Budget(HAIKU)
    one = machine(gate=gate, budget=budget)
    job = called(one)
    worst = budget.reserved
    one.cut_off(job)

    assert (budget.reserved, budget.maybe) == (0, worst)
    assert job.draw is None
    assert gate.traffic.in_flight.requests == 0
