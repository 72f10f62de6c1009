from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from profiler.engine.limits.learned_rate import CUT, LARGEST_CUT, PLATEAU_CALLS, LearnedRate
from profiler.engine.limits.pace_trust import COMPARED, IN_VAIN, REFUSALS

if TYPE_CHECKING:
    from collections.abc import Callable


def learned(*, calls: int = 101, seconds: float = 10.0) -> LearnedRate:
    """A rate after its first refusals, which come when that many calls have left."""
    rate = LearnedRate()
    for _ in range(calls):
        rate.leaving(100.0)
    rate.refused(left_at=100.0, now=100.0 + seconds)
    rate.refused(left_at=100.0 + seconds, now=100.0 + seconds)
    return rate


def per_second(rate: LearnedRate) -> float:
    assert rate.per_second is not None
    return rate.per_second


def test_until_the_first_refusal_nothing_holds_a_call() -> None:
    rate = LearnedRate()
    for _ in range(1000):
        rate.leaving(100.0)
        rate.answered()

    assert (rate.per_second, rate.wait_s(100.0)) == (None, 0.0)


def test_the_first_refusals_make_it_a_little_less_than_what_got_through() -> None:
    assert per_second(learned()) == pytest.approx(10 * CUT)


def test_a_refusal_that_no_other_follows_soon_changes_nothing() -> None:
    rate = LearnedRate()
    for number in range(20):
        rate.leaving(100.0)
        assert not rate.refused(left_at=100.0, now=200.0 + 60 * number)

    assert (rate.per_second, rate.wait_s(2000.0)) == (None, 0.0)


def test_a_burst_is_not_taken_for_a_rate() -> None:
    assert per_second(learned(calls=9, seconds=0.001)) == pytest.approx(8 * CUT)


def test_calls_leave_evenly_and_time_that_was_not_used_is_not_saved_up() -> None:
    rate = learned()
    gap = 1 / per_second(rate)
    assert rate.wait_s(110.0) == pytest.approx(gap)

    rate.leaving(500.0)
    assert rate.wait_s(500.0) == pytest.approx(gap)


def test_refusals_of_calls_that_left_before_belong_to_the_same_episode() -> None:
    rate = learned()
    before = per_second(rate)

    assert [rate.refused(left_at=109.0, now=111.0 + number) for number in range(20)] == [False] * 20
    assert per_second(rate) == before


def test_a_later_refusal_makes_it_a_little_less_than_what_got_through_since() -> None:
    rate = learned()
    for _ in range(40):
        rate.answered()

    assert rate.refused(left_at=112.0, now=112.5)
    assert per_second(rate) == pytest.approx(16 * CUT)


def test_it_is_never_cut_to_less_than_half_at_once() -> None:
    rate = learned()
    rate.answered()
    before = per_second(rate)
    rate.refused(left_at=111.0, now=1000.0)

    assert per_second(rate) == pytest.approx(before * LARGEST_CUT)


def test_a_time_in_which_nothing_gets_through_does_not_make_it_slower() -> None:
    rate = learned()
    before = per_second(rate)
    for number in range(100):
        rate.refused(left_at=111.0 + 10 * number, now=112.0 + 10 * number)

    assert per_second(rate) == before


def test_it_comes_back_to_what_was_refused_ever_more_slowly_and_stays_there_a_while() -> None:
    rate = learned()
    for _ in range(40):
        rate.answered()
    rate.refused(left_at=112.0, now=112.5)
    rates = []
    for _ in range(PLATEAU_CALLS):
        rates.append(per_second(rate))
        rate.answered()

    assert rates == sorted(rates)
    assert rates[PLATEAU_CALLS // 2] > 16 * 0.97
    assert rates[-1] == pytest.approx(16, rel=0.01)


def test_where_nothing_is_refused_any_more_it_doubles_again_and_again() -> None:
    rate = learned()
    for _ in range(1000):
        rate.answered()

    assert per_second(rate) > 1000 * 10


def test_refusals_that_go_on_however_slow_it_gets_are_no_matter_of_pace() -> None:
    rate = learned()
    now = 111.0
    for _ in range(IN_VAIN):
        rate.answered()
        now += 1
        rate.refused(left_at=now, now=now)
    assert (rate.per_second, rate.wait_s(now)) == (None, 0.0)

    for number in range(100):
        rate.refused(left_at=now + number / 10, now=now + number / 10)
    assert rate.per_second is None


def test_later_a_rate_is_learned_again() -> None:
    rate = learned()
    for number in range(IN_VAIN):
        rate.answered()
        rate.refused(left_at=111.0 + number, now=111.0 + number)
    for second in (200.0, 201.0):
        rate.leaving(second)
        rate.refused(left_at=second, now=second)

    assert rate.per_second is not None


def forgotten() -> tuple[LearnedRate, float]:
    """A rate that was refused as often at half the pace, again and again; and when it was given up for that."""
    rate, now = learned(calls=10_001), 110.0
    for _ in range(COMPARED):
        for _ in range(20):
            rate.answered()
        now += 40 / per_second(rate)
        rate.refused(left_at=now, now=now)
        if rate.per_second is None:
            return rate, now
    raise AssertionError("it was not forgotten")


def refused_of(rate: LearnedRate, *, calls: int, refused: int, now: float) -> None:
    """So many calls leave in two seconds, and the last of them are refused."""
    for number in range(calls):
        rate.leaving(now + 2 * number / calls)
        if number >= calls - refused:
            rate.refused(left_at=now + 2 * number / calls, now=now + 2 * number / calls)


def test_a_rate_that_was_forgotten_by_mistake_is_learned_again_at_once() -> None:
    rate, now = forgotten()
    refused_of(rate, calls=20, refused=REFUSALS, now=now)

    assert per_second(rate) == pytest.approx((20 - REFUSALS) / 2 * CUT, rel=0.1)


def test_as_few_refusals_as_before_say_that_it_was_no_mistake() -> None:
    rate, now = forgotten()
    refused_of(rate, calls=200, refused=REFUSALS + 10, now=now)

    assert rate.per_second is None


def answered_a_second(refuses: Callable[[float], bool], *, seconds: float = 600.0) -> float:
    """Of one caller who takes five milliseconds for a call and fifty more after a refusal."""
    rate, begun = LearnedRate(), 100.0
    now, answers = begun, 0
    while now < begun + seconds:
        now += rate.wait_s(now)
        rate.leaving(now)
        left, now = now, now + 0.005
        if refuses(now):
            rate.refused(left_at=left, now=now)
            now += 0.05
        else:
            answers += 1
            rate.answered()
    return answers / seconds


@pytest.mark.parametrize(("share", "least"), [(0.002, 100), (0.015, 80), (0.05, 50), (0.1, 20)])
@pytest.mark.parametrize("seed", [1, 2])
def test_refusals_by_chance_do_not_slow_it_down_for_long(share: float, least: float, seed: int) -> None:
    """Without any learning 195, 186, 128 and 95 answers a second would come."""
    chance = random.Random(seed)
    assert answered_a_second(lambda _: chance.random() < share) > least


@pytest.mark.parametrize("limit", [2, 10, 50, 150])
def test_a_real_limit_is_still_found_and_kept(limit: int) -> None:
    level, last, refused = float(limit), 100.0, 0

    def refuses(now: float) -> bool:
        nonlocal level, last, refused
        level, last = min(float(limit), level + (now - last) * limit), now
        enough = level >= 1
        level -= enough
        refused += not enough
        return not enough

    answers = answered_a_second(refuses)
    assert answers > 0.85 * limit
    assert refused < 0.02 * answers * 600
