"""A granted bucket beside a token bucket: the gate cannot tell them apart, but for who fills them."""

from __future__ import annotations

import math

import pytest

from profiler.fleet.broker.granted_bucket import LOOK_AGAIN_S, GrantedBucket


class Asked(list[None]):
    def __call__(self) -> None:
        self.append(None)


def granted(amount: float | None, *, spread_s: float = 0.0, not_told: float = 0.0) -> tuple[GrantedBucket, Asked]:
    asked = Asked()
    bucket = GrantedBucket(asked)
    bucket.grant(amount, at=0.0, ends_at=5.0, spread_s=spread_s, not_told=not_told)
    return bucket, asked


def test_what_was_granted_may_be_drawn_and_then_more_is_asked_for() -> None:
    bucket, asked = granted(2.0)
    assert [bucket.wait_s(1.0, 0.1), len(asked)] == [0.0, 0]
    bucket.draw(1.0)
    bucket.draw(1.0)

    assert [bucket.wait_s(1.0, 0.1), len(asked)] == [LOOK_AGAIN_S, 1]
    assert bucket.used == 2.0


def test_when_the_lease_is_over_nothing_leaves_however_much_is_left() -> None:
    for bucket, _ in (granted(100.0), granted(None)):
        assert bucket.wait_s(1.0, 4.999) == 0.0
        assert bucket.wait_s(1.0, 5.0) == LOOK_AGAIN_S


def test_a_new_grant_takes_the_place_of_what_was_left() -> None:
    bucket, _ = granted(100.0)
    bucket.grant(1.0, at=1.0, ends_at=6.0, spread_s=0.0, not_told=1.0)

    assert bucket.wait_s(1.0, 1.0) == LOOK_AGAIN_S


def test_a_scarce_grant_is_spread_over_the_time_that_it_must_last() -> None:
    bucket, _ = granted(10.0, spread_s=1.0)
    waits = []
    for _ in range(10):
        waits.append(bucket.wait_s(1.0, 0.0))
        bucket.draw(1.0)

    assert waits == pytest.approx([number / 10 for number in range(10)])


def test_a_refusal_empties_it() -> None:
    bucket, _ = granted(10.0)
    bucket.empty(1.0)

    assert bucket.wait_s(1.0, 1.0) == LOOK_AGAIN_S


def test_alone_it_fills_at_its_share_and_the_headers_give_it_no_more() -> None:
    bucket, _ = granted(10.0)
    bucket.go_alone(60.0, now=5.0)
    assert bucket.wait_s(1.0, 5.0) > 0.9

    bucket.correct(limit=600.0, remaining=500.0, in_flight=0.0, now=6.5)
    assert bucket.level(6.5) == pytest.approx(1.5)
    bucket.correct(limit=600.0, remaining=0.0, in_flight=0.0, now=6.5)
    assert bucket.level(6.5) == pytest.approx(0.0)


def test_alone_without_a_limit_nothing_holds_it() -> None:
    bucket, _ = granted(None)
    bucket.go_alone(None, now=5.0)

    assert bucket.wait_s(1.0, 9.0) == 0.0
    assert bucket.level(9.0) == math.inf


def test_the_first_header_that_names_a_limit_is_worth_a_message() -> None:
    bucket, asked = granted(None)
    for _ in range(3):
        bucket.correct(limit=600.0, remaining=500.0, in_flight=0.0, now=1.0)

    assert (len(asked), bucket.per_minute, bucket.told) == (1, 600.0, (600.0, 500.0, 1.0))
