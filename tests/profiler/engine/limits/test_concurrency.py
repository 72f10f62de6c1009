from __future__ import annotations

import time

import pytest

from profiler.engine.limits import concurrency as concurrency_module
from profiler.engine.limits.concurrency import SLOW_STEP_S, AdaptiveConcurrency, OverloadShare
from profiler.engine.slots import Slots


def saturate(slots: Slots) -> None:
    while slots.take_nowait():
        pass


def test_it_begins_with_a_few_and_doubles_a_round_until_the_ceiling() -> None:
    slots = Slots(100)
    concurrency = AdaptiveConcurrency(slots, first=8)
    limits = [slots.limit]

    for _ in range(5):
        saturate(slots)
        for _ in range(slots.limit):
            saturate(slots)
            concurrency.succeeded()
        limits.append(slots.limit)

    assert limits == [8, 16, 32, 64, 100, 100]


def test_it_does_not_grow_while_slots_are_free() -> None:
    slots = Slots(100)
    concurrency = AdaptiveConcurrency(slots, first=8)
    slots.take_nowait()

    assert [concurrency.succeeded() for _ in range(50)] == [False] * 50
    assert slots.limit == 8


def test_a_cut_cuts_once_an_episode() -> None:
    slots = Slots(64)
    concurrency = AdaptiveConcurrency(slots, first=64)
    before = time.monotonic()

    for _ in range(64):
        concurrency.cut("rate_limited", left_at=before)

    assert slots.limit == 32


def test_a_call_that_left_after_the_cut_cuts_again() -> None:
    slots = Slots(64)
    concurrency = AdaptiveConcurrency(slots, first=64)
    concurrency.cut("rate_limited", left_at=time.monotonic())

    concurrency.cut("overloaded", left_at=time.monotonic())

    assert slots.limit == 16


def test_it_never_goes_below_one() -> None:
    slots = Slots(2)
    concurrency = AdaptiveConcurrency(slots, first=2)

    for _ in range(5):
        concurrency.cut("overloaded", left_at=time.monotonic())

    assert slots.limit == 1


def test_after_a_cut_it_grows_by_steps_and_not_by_doubling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency_module, "time", Clock())
    slots = Slots(100)
    concurrency = AdaptiveConcurrency(slots, first=100)
    concurrency.cut("overloaded", left_at=100.0)

    for _ in range(50):
        saturate(slots)
        concurrency.succeeded()

    assert slots.limit in range(54, 57)


def test_the_history_says_what_was_cut_and_why() -> None:
    slots = Slots(64)
    concurrency = AdaptiveConcurrency(slots, first=64)

    concurrency.cut("overloaded", left_at=time.monotonic())

    assert [(change.limit, change.reason) for change in concurrency.changes] == [(64, "start"), (32, "overloaded")]


class Clock:
    """Stands where the module `time` stands in `concurrency`."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_after_a_cut_it_comes_back_in_seconds_however_long_calls_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply a second, where a round of all calls would take minutes."""
    clock = Clock()
    monkeypatch.setattr(concurrency_module, "time", clock)
    slots = Slots(200)
    concurrency = AdaptiveConcurrency(slots, first=200)
    concurrency.cut("overloaded", left_at=clock.now)

    for _ in range(10):
        clock.now += 1
        grown(concurrency, slots, calls=1)

    assert slots.limit == 200


@pytest.mark.parametrize("every", [66, 20])
def test_one_overload_in_many_calls_is_no_episode(every: int) -> None:
    share = OverloadShare()
    found = [share.count(overloaded=number % every == 0, left_at=number) for number in range(10_000)]

    assert not any(found)


def test_a_provider_that_refuses_every_third_call_is_overloaded() -> None:
    share = OverloadShare()
    found = [share.count(overloaded=number % 3 == 0, left_at=100.0) for number in range(60)]

    assert found.count(True) == 1


def test_calls_that_left_before_an_episode_do_not_begin_another() -> None:
    share = OverloadShare()
    found = [share.count(overloaded=True, left_at=0.0) for _ in range(1000)]

    assert found.count(True) == 1


def grown(concurrency: AdaptiveConcurrency, slots: Slots, *, calls: int) -> int:
    for _ in range(calls):
        saturate(slots)
        concurrency.succeeded()
    return slots.limit


def test_after_it_was_told_to_ramp_slowly_it_grows_by_the_clock_and_not_by_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(concurrency_module, "time", clock)
    slots = Slots(100)
    concurrency = AdaptiveConcurrency(slots, first=100)

    concurrency.cut("ramp_limit", left_at=clock.now, slowly=True)
    limits = [grown(concurrency, slots, calls=1000)]
    for _ in range(3):
        clock.now += SLOW_STEP_S
        limits.append(grown(concurrency, slots, calls=1000))

    assert limits == [50, 55, 60, 66]


def test_a_later_cut_does_not_make_it_forget_to_ramp_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(concurrency_module, "time", clock)
    slots = Slots(100)
    concurrency = AdaptiveConcurrency(slots, first=100)

    concurrency.cut("ramp_limit", left_at=clock.now, slowly=True)
    clock.now += 60
    concurrency.cut("overloaded", left_at=clock.now)

    assert grown(concurrency, slots, calls=1000) == 25
