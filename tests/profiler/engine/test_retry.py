from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from profiler.core.errors import CallError
from profiler.engine.retry import FIRST_WAIT_S, LONGEST_WAIT_S, try_again, wait_before

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
    assert try_again(PASSING, attempts=1, max_attempts=2, wait_s=1, left_s=2)
    assert not try_again(lasting, attempts=1, max_attempts=2, wait_s=1, left_s=2)


def test_the_last_attempt_is_the_last() -> None:
    assert try_again(PASSING, attempts=3, max_attempts=4, wait_s=0, left_s=1)
    assert not try_again(PASSING, attempts=4, max_attempts=4, wait_s=0, left_s=1)


def test_no_wait_goes_beyond_the_deadline() -> None:
    assert try_again(PASSING, attempts=1, max_attempts=9, wait_s=1.0, left_s=1.5)
    assert not try_again(PASSING, attempts=1, max_attempts=9, wait_s=1.0, left_s=1.0)
    assert not try_again(PASSING, attempts=1, max_attempts=9, wait_s=0.0, left_s=-1.0)
