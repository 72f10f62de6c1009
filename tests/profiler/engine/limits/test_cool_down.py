from __future__ import annotations

from itertools import pairwise

import pytest

from profiler.engine.limits.cool_down import LONGEST_RAMP_S, CoolDown


def wanted(seconds: float, *, asked: bool = True) -> CoolDown:
    pause = CoolDown()
    pause.want(seconds, asked=asked, now=100.0)
    return pause


def departures(pause: CoolDown, *, waiting: int) -> list[float]:
    """When each of those who wait leaves, as seconds after the end of the pause."""
    now, left = pause.until, []
    for behind in range(waiting, -1, -1):
        now += pause.wait_s(now)
        pause.leaving(waiting=behind, now=now)
        left.append(now - pause.until)
    return left


def test_nobody_leaves_before_its_end_and_the_first_not_much_later() -> None:
    assert 10.0 <= wanted(10).wait_s(100.0) <= 10.2


def test_a_shorter_one_does_not_end_a_longer_one() -> None:
    pause = wanted(10)
    pause.want(1, asked=False, now=101.0)

    assert (pause.until, pause.reason) == (110.0, "retry_after")


def test_it_says_who_wanted_it() -> None:
    assert wanted(1, asked=False).reason == "cool_down"


def test_those_who_waited_come_back_faster_and_faster_and_within_a_second() -> None:
    left = departures(wanted(10), waiting=100)
    gaps = [later - sooner for sooner, later in pairwise(left)]

    assert left[0] == 0.0
    assert left[-1] == pytest.approx(LONGEST_RAMP_S)
    assert gaps == sorted(gaps, reverse=True)
    assert sum(each <= LONGEST_RAMP_S / 2 for each in left) == pytest.approx(25, abs=2)


def test_after_a_short_pause_they_come_back_within_a_quarter_of_it() -> None:
    assert departures(wanted(0.2), waiting=10)[-1] == pytest.approx(0.05)


@pytest.mark.parametrize("waiting", [0, 1, 7])
def test_when_all_have_come_back_nobody_waits_any_more(waiting: int) -> None:
    pause = wanted(10)
    departures(pause, waiting=waiting)

    assert not pause.ends
    assert pause.wait_s(pause.until) == 0.0


def test_a_second_pause_while_they_come_back_holds_the_others() -> None:
    pause = wanted(10)
    pause.leaving(waiting=5, now=110.0)
    pause.want(4, asked=True, now=110.1)

    assert pause.wait_s(110.1) >= 4.0
    assert departures(pause, waiting=4)[-1] == pytest.approx(LONGEST_RAMP_S)
