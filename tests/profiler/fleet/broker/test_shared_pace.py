from __future__ import annotations

import pytest

from profiler.engine.limits.learned_rate import CUT, LARGEST_CUT
from profiler.fleet.broker.shared_pace import PLATEAU_S, SETTLE_S, SharedPace


def refused_twice(pace: SharedPace, *, at: float) -> list[bool]:
    return [pace.refused(left_at=at, knew=True, now=at) for _ in range(2)]


def learned() -> SharedPace:
    """A pace after its first refusals, at 101 s."""
    pace = SharedPace()
    pace.left(80, since=99.0, now=101.0)
    assert refused_twice(pace, at=101.0) == [False, True]
    return pace


def test_the_first_refusals_make_it_half_of_what_left_lately() -> None:
    assert learned().per_second == pytest.approx(40 * LARGEST_CUT, rel=0.05)


def test_what_was_refused_before_all_had_heard_of_the_pace_does_not_cut_it_again() -> None:
    pace = learned()
    before = pace.per_second

    assert [pace.refused(left_at=101.5, knew=False, now=101.6) for _ in range(9)] == [False] * 9
    assert pace.per_second == before


def test_between_two_refusals_what_got_through_is_the_limit_and_the_pace_comes_back_to_it() -> None:
    pace, second = learned(), 101.0
    while second < 121.0:
        pace.left(33, since=second, now=second + 1)
        second += 1
        pace.pass_time(second)
    assert refused_twice(pace, at=second) == [False, True]
    assert not pace.refused(left_at=second + 0.5, knew=False, now=second + 0.5)

    told_by = second + SETTLE_S
    pace.left(33 * SETTLE_S, since=second, now=told_by)
    pace.pass_time(told_by)
    assert pace.per_second == pytest.approx(33 * CUT, rel=0.05)
    pace.left(33 * PLATEAU_S, since=told_by, now=told_by + PLATEAU_S)
    pace.pass_time(told_by + PLATEAU_S)
    assert pace.per_second == pytest.approx(33, rel=0.05)


def test_a_few_refusals_among_very_many_calls_change_nothing() -> None:
    pace = learned()
    for second in range(101, 111):
        pace.left(500, since=second, now=second + 1)
        pace.pass_time(second + 1)
    before = pace.per_second

    assert refused_twice(pace, at=111.0) == [False, False]
    assert pace.per_second == before


def test_a_pace_that_nobody_uses_does_not_grow_out_of_sight() -> None:
    pace = learned()
    for second in range(101, 401):
        pace.left(10, since=second, now=second + 1)
        pace.pass_time(second + 1)

    assert pace.per_second is not None
    assert pace.per_second <= 40


def test_when_nothing_gets_through_going_slower_is_no_help() -> None:
    pace = learned()
    before = pace.per_second

    assert [pace.refused(left_at=101.0 + second, knew=True, now=101.0 + second) for second in range(1, 9)] == [
        False
    ] * 8
    assert pace.per_second is not None
    assert before is not None
    assert pace.per_second >= before
