from __future__ import annotations

import time
from functools import partial

import anyio
import msgspec
import pytest

from profiler.core.nouns import Dialogue, Limit, Params, RateHeaders, Request
from profiler.engine.limits.draw import Draw
from profiler.engine.limits.rate_gate import RateGate
from profiler.manifest.settings import RateLimits
from profiler.provider.requests import Planner

PLANNER = Planner(Params(model="claude-haiku-4-5", max_tokens=100))


def request(text: str = "x") -> Request:
    return PLANNER.request(0, Dialogue(dialogue_id="d", user=text))


def asked_to_wait(gate: RateGate, seconds: float | None) -> None:
    gate.pause(seconds, draw=Draw(left_at=time.monotonic()), at_most_s=600)


async def leave(gate: RateGate) -> None:
    assert await gate.admit(request(), give_up=anyio.Event()) is not None


async def test_without_limits_everybody_leaves_at_once() -> None:
    gate = RateGate()

    with anyio.fail_after(60):
        for _ in range(1000):
            await leave(gate)


async def test_requests_a_minute_are_kept() -> None:
    gate = RateGate(RateLimits(requests_per_minute=600))  # ten a second, a minute's worth at once
    began = time.monotonic()

    for _ in range(605):
        await leave(gate)

    assert time.monotonic() - began >= 0.49


async def test_output_tokens_are_guessed_at_their_most_until_an_answer_is_known() -> None:
    gate = RateGate(RateLimits(output_tokens_per_minute=150))
    draw = await gate.admit(request(), give_up=anyio.Event())

    assert draw is not None
    assert draw.output_tokens == 100

    gate.answered(draw, input_tokens=5, output_tokens=10, sent=len(request().body))
    draw = await gate.admit(request(), give_up=anyio.Event())

    assert draw is not None
    assert draw.output_tokens == 10


async def test_a_cool_down_holds_everybody_for_as_long_as_was_asked_and_not_much_longer() -> None:
    gate = RateGate()
    asked_to_wait(gate, 0.2)
    began = time.monotonic()

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(leave, gate)

    assert 0.2 <= time.monotonic() - began < 0.45
    assert gate.waited_s.keys() == {"retry_after"}


async def test_who_gives_up_leaves_the_line_without_a_draw() -> None:
    gate = RateGate()
    asked_to_wait(gate, 60)
    give_up = anyio.Event()
    got = []

    async def wait() -> None:
        got.append(await gate.admit(request(), give_up=give_up))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            give_up.set()

    assert got == [None]


async def test_a_limit_that_only_the_replies_tell_of_is_kept_too() -> None:
    gate = RateGate()

    gate.apply_headers(RateHeaders(requests=Limit(limit=600, remaining=0)), Draw())

    began = time.monotonic()
    await leave(gate)
    assert time.monotonic() - began >= 0.09


async def test_line_is_first_come_first_served() -> None:
    gate = RateGate(RateLimits(requests_per_minute=6000))
    asked_to_wait(gate, 0.05)
    order: list[int] = []

    async def wait(number: int) -> None:
        await leave(gate)
        order.append(number)

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(wait, number)
            await anyio.wait_all_tasks_blocked()

    assert order == list(range(10))


async def test_a_small_call_does_not_overtake_a_large_one_that_waits() -> None:
    gate = RateGate(RateLimits(input_tokens_per_minute=1000))
    large, small = request("x" * 2400), request("x")
    give_up = anyio.Event()
    left: list[str] = []

    async def go(name: str, asked: Request) -> None:
        if await gate.admit(asked, give_up=give_up) is not None:
            left.append(name)

    async with anyio.create_task_group() as group:
        await go("large", large)
        for name, asked in (("second large", large), ("small", small)):
            group.start_soon(go, name, asked)
            await anyio.wait_all_tasks_blocked()
        assert left == ["large"]
        give_up.set()

    assert left == ["large", "small"]


async def test_what_is_in_flight_is_not_counted_twice() -> None:
    gate = RateGate(RateLimits(requests_per_minute=100))
    draws = [await gate.admit(request(), give_up=anyio.Event()) for _ in range(40)]

    gate.apply_headers(
        RateHeaders(requests=Limit(limit=100, remaining=99)), Draw()
    )  # the provider saw one of the forty

    used = gate.utilisation(time.monotonic())["requests"]
    assert used == pytest.approx(0.40, abs=0.02)
    assert all(draws)


def test_the_waits_have_names() -> None:
    assert {field.name for field in msgspec.structs.fields(RateHeaders)} == {
        "requests",
        "input_tokens",
        "output_tokens",
    }


async def test_a_pause_that_ends_after_the_deadline_is_not_waited_for() -> None:
    gate = RateGate()
    asked_to_wait(gate, 60)
    began = time.monotonic()

    assert await gate.admit(request(), give_up=anyio.Event(), by=began + 59) is None
    assert time.monotonic() - began < 30


async def test_a_limit_that_lets_a_call_leave_after_its_deadline_is_not_waited_for() -> None:
    gate = RateGate(RateLimits(requests_per_minute=1))
    await leave(gate)
    began = time.monotonic()

    assert await gate.admit(request(), give_up=anyio.Event(), by=began + 30) is None
    assert time.monotonic() - began < 30


async def test_it_says_how_long_the_line_stands_still_yet() -> None:
    gate = RateGate()
    asked_to_wait(gate, 60)
    async with anyio.create_task_group() as group:
        group.start_soon(leave, gate)
        await anyio.wait_all_tasks_blocked()
        found = gate.holds_up(time.monotonic())
        group.cancel_scope.cancel()

    assert found == "retry-after 60 s"


async def test_it_says_how_much_of_a_limit_is_in_use() -> None:
    gate = RateGate(RateLimits(requests_per_minute=100))
    for _ in range(100):
        await leave(gate)
    async with anyio.create_task_group() as group:
        group.start_soon(leave, gate)
        await anyio.wait_all_tasks_blocked()
        found = gate.holds_up(time.monotonic())
        group.cancel_scope.cancel()

    assert found in {"requests 99 %", "requests 100 %"}
    assert gate.in_use(time.monotonic()) == {"requests": 1.0}


async def test_those_held_up_by_a_pause_do_not_leave_all_at_once() -> None:
    gate = RateGate()
    asked_to_wait(gate, 0.2)
    left: list[float] = []

    async def wait() -> None:
        await leave(gate)
        left.append(time.monotonic())

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(wait)

    assert len(left) == 50
    assert left[-1] - left[0] >= 0.045


async def test_the_history_of_the_limits_says_who_told_of_them() -> None:
    gate = RateGate(RateLimits(requests_per_minute=100))
    for limit in (100, 50, 50):
        gate.apply_headers(RateHeaders(requests=Limit(limit, 10), output_tokens=Limit(8000, 10)), Draw())

    assert [(change.limit, change.per_minute, change.told_by) for change in gate.changes] == [
        ("requests", 100, "manifest"),
        ("output_tokens", 8000, "headers"),
        ("requests", 50, "headers"),
    ]


async def test_nobody_passes_those_who_stand_in_line_however_little_they_need() -> None:
    gate = RateGate(RateLimits(input_tokens_per_minute=600))
    small, large = request(), request("x" * 2000)
    assert gate.try_admit(large) is not None
    give_up = anyio.Event()

    async with anyio.create_task_group() as group:
        group.start_soon(partial(gate.admit, large, give_up=give_up))
        await anyio.wait_all_tasks_blocked()
        passed = gate.try_admit(small)
        give_up.set()

    assert passed is None
    assert gate.try_admit(small) is not None


@pytest.mark.parametrize(("name", "used"), [("input_tokens", 400), ("output_tokens", 70), ("input_tokens", 1)])
async def test_what_was_used_counts_and_not_what_was_guessed(name: str, used: int) -> None:
    gate = RateGate(RateLimits(input_tokens_per_minute=600, output_tokens_per_minute=600))
    draw = gate.try_admit(request())
    assert draw is not None

    gate.answered(draw, **{"input_tokens": 5, "output_tokens": 5, name: used}, sent=len(request().body))

    assert gate.utilisation(time.monotonic())[name] == pytest.approx(used / 600, abs=0.02)


async def test_what_somebody_gave_up_waiting_for_holds_nobody_up_any_more() -> None:
    gate = RateGate(RateLimits(input_tokens_per_minute=600))
    assert gate.try_admit(request("x" * 2000)) is not None
    give_up = anyio.Event()

    async with anyio.create_task_group() as group:
        group.start_soon(partial(gate.admit, request("x" * 2000), give_up=give_up))
        await anyio.wait_all_tasks_blocked()
        assert "input tokens" in (gate.holds_up(time.monotonic()) or "")
        give_up.set()
    assert gate.try_admit(request()) is not None

    assert gate.holds_up(time.monotonic()) is None


async def test_a_call_that_has_ended_is_not_expected_to_be_still_on_its_way_to_the_provider() -> None:
    """So what a reply says is left is believed, also where it is more than we thought."""
    gate = RateGate(RateLimits(requests_per_minute=100))
    for number in range(40):
        draw = gate.try_admit(request())
        assert draw is not None
        if number % 2:
            gate.answered(draw, input_tokens=5, output_tokens=5, sent=len(request().body))
        else:
            gate.failed(draw, looked_at=False)

    gate.apply_headers(RateHeaders(requests=Limit(limit=100, remaining=95)), Draw())

    assert gate.utilisation(time.monotonic())["requests"] == pytest.approx(0.05, abs=0.02)


async def test_who_waits_for_tokens_leaves_as_soon_as_a_call_gives_enough_back() -> None:
    gate = RateGate(RateLimits(output_tokens_per_minute=150))
    first = gate.try_admit(request())
    assert first is not None
    left: list[Draw | None] = []

    async def wait() -> None:
        left.append(await gate.admit(request(), give_up=anyio.Event()))

    with anyio.fail_after(5):  # by itself the limit would have room in 20 seconds
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            gate.answered(first, input_tokens=5, output_tokens=1, sent=len(request().body))

    assert left != [None]
