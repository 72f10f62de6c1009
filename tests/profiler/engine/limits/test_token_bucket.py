from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.engine.limits.token_bucket import RESERVE_S, TokenBucket


def test_a_full_bucket_lets_its_minute_through_at_once_but_for_the_reserve() -> None:
    bucket = TokenBucket(60, now=0.0)

    for _ in range(59):
        assert bucket.wait_s(1, now=0.0) == 0.0
        bucket.draw(1)

    assert bucket.wait_s(1, now=0.0) == pytest.approx(RESERVE_S)


def test_calls_that_arrive_earlier_than_they_left_find_room_in_the_reserve() -> None:
    """As on any network: they leave evenly, and come in a bunch behind one that was slow."""
    ours, theirs = TokenBucket(60_000, now=0.0), TokenBucket(60_000, now=0.0)
    now = 0.0
    refused = 0
    for number in range(63_000):
        now += ours.wait_s(1, now=now)
        ours.draw(1)
        arrives = now - 0.04 * (number % 50) / 50
        refused += theirs.level(arrives) < 1
        theirs.draw(1)

    assert refused == 0


def test_it_fills_all_the_time_and_never_over() -> None:
    bucket = TokenBucket(60, now=0.0)
    bucket.draw(60)

    assert bucket.level(now=30.0) == 30.0
    assert bucket.level(now=1000.0) == 60.0


def test_what_is_larger_than_the_bucket_waits_for_a_full_one_only() -> None:
    bucket = TokenBucket(60, now=0.0)
    bucket.draw(60)

    assert bucket.wait_s(1000, now=0.0) == 60.0
    assert bucket.wait_s(1000, now=60.0) == 0.0


def test_a_refusal_empties_it() -> None:
    bucket = TokenBucket(60, now=0.0)

    bucket.empty(now=0.0)

    assert bucket.wait_s(1, now=0.0) == pytest.approx(1.0 + RESERVE_S)


def test_a_reply_that_saw_less_lowers_the_level() -> None:
    bucket = TokenBucket(60, now=0.0)

    bucket.correct(limit=60, remaining=10, in_flight=3, now=0.0)

    assert bucket.level(now=0.0) == 10


def test_a_reply_that_saw_more_raises_the_level_by_all_that_is_not_in_flight() -> None:
    bucket = TokenBucket(60, now=0.0)
    bucket.draw(60)

    bucket.correct(limit=60, remaining=40, in_flight=15, now=0.0)

    assert bucket.level(now=0.0) == 25


def test_a_reply_can_change_the_limit() -> None:
    bucket = TokenBucket(60, now=0.0)

    bucket.correct(limit=120, remaining=120, in_flight=0, now=0.0)
    bucket.draw(120)

    assert bucket.level(now=1.0) == 2.0


@given(
    per_minute=st.floats(1, 1e6),
    steps=st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 1e5)), min_size=1, max_size=50),
)
def test_whoever_waits_as_told_never_draws_more_than_is_allowed(
    per_minute: float, steps: list[tuple[float, float]]
) -> None:
    bucket = TokenBucket(per_minute, now=0.0)
    now = drawn = 0.0

    for pause, wanted in steps:
        amount = min(wanted, per_minute)
        now += pause
        now += bucket.wait_s(amount, now)
        bucket.draw(amount)
        drawn += amount

        assert drawn <= per_minute * (1 + now / 60) * (1 + 1e-9)
