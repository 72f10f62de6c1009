from __future__ import annotations

from itertools import pairwise

import pytest

from profiler.engine.limits.cool_down import FIRST_PAUSE_S, LONGEST_FLOOR_S, LONGEST_RAMP_S, SHORTEST_PAUSE_S, CoolDown


def wanted(seconds: float, *, asked: bool = True) -> CoolDown:
    pause = CoolDown()
    pause.start(seconds, asked=asked, now=100.0)
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
    pause.start(1, asked=False, now=101.0)

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
    pause.start(4, asked=True, now=110.1)

    assert pause.wait_s(110.1) >= 4.0
    assert departures(pause, waiting=4)[-1] == pytest.approx(LONGEST_RAMP_S)


def refused(pause: CoolDown, asked_s: float | None, *, now: float, left_at: float | None = None) -> float:
    """How long everyone pauses after a refusal."""
    pause.refused(asked_s, left_at=now if left_at is None else left_at, at_most_s=600, now=now)
    return pause.until - now


def pauses(asked_s: float | None, *, episodes: int) -> list[float]:
    pause, now, found = CoolDown(), 100.0, []
    for _ in range(episodes):
        found.append(refused(pause, asked_s, now=now))
        now = pause.until
    return found


def test_a_provider_that_asks_for_no_time_and_refuses_everything_is_left_alone_longer_and_longer() -> None:
    found = pauses(0.0, episodes=12)

    assert found[:3] == pytest.approx([SHORTEST_PAUSE_S, 2 * SHORTEST_PAUSE_S, 4 * SHORTEST_PAUSE_S])
    assert found[-3:] == pytest.approx([LONGEST_FLOOR_S] * 3)


def test_without_a_word_of_how_long_the_pause_grows_from_half_a_second() -> None:
    found = pauses(None, episodes=8)

    assert FIRST_PAUSE_S / 2 <= found[0] <= FIRST_PAUSE_S
    assert LONGEST_FLOOR_S / 2 <= found[-1] <= LONGEST_FLOOR_S


def test_what_is_asked_for_is_kept_where_it_is_longer() -> None:
    assert pauses(3.0, episodes=4) == pytest.approx([3.0] * 4)


def test_refusals_of_calls_that_left_before_the_pause_do_not_make_it_longer() -> None:
    pause = CoolDown()
    for _ in range(50):
        refused(pause, 0.0, now=100.0, left_at=99.0)

    assert pause.until == pytest.approx(100.0 + SHORTEST_PAUSE_S)


def test_after_a_success_it_begins_anew() -> None:
    pause = CoolDown()
    for number in range(6):
        refused(pause, 0.0, now=100.0 + 10 * number)
    pause.succeeded(left_at=149.0)  # before the last episode began
    assert refused(pause, 0.0, now=200.0) > SHORTEST_PAUSE_S * 10

    pause.succeeded(left_at=201.0)
    assert refused(pause, 0.0, now=300.0) == pytest.approx(SHORTEST_PAUSE_S)


def test_no_pause_is_longer_than_any_dialogue_may_take() -> None:
    pause = CoolDown()
    pause.refused(1e9, left_at=100.0, at_most_s=60.0, now=100.0)

    assert pause.until == 160.0


def test_a_time_that_is_too_short_to_be_kept_is_not_said_to_be_the_reason() -> None:
    pause = CoolDown()
    refused(pause, 0.0, now=100.0)
    assert pause.reason == "cool_down"
