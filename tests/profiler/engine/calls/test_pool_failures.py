"""`Pool`: failures, tries and waits, calls that hang and deadlines."""

from __future__ import annotations

import random

import anyio
import anyio.lowlevel
import pytest

from profiler.core.errors import CallError
from profiler.core.nouns import Record, Reply, Request
from profiler.engine.calls import pool as pool_module
from profiler.money.budget import Budget
from tests.profiler.building import dialogue
from tests.profiler.engine.calls.bench import PASSING, Bench, Clock, asked_to_wait, never, reply
from tests.profiler.engine.calls.test_call_cost import HAIKU


async def test_a_failure_that_lasts_is_a_record_after_one_call() -> None:
    async def answer(request: Request) -> Reply:
        if request.index == 0:
            raise CallError("invalid_request", "no", status=400)
        return reply()

    bench = Bench(answer)
    await bench.run(2)
    assert bench.kept.by_id["d0"].type == "error"
    assert bench.kept.by_id["d1"].type == "answer"
    assert bench.client.asked == ["d0", "d1"]
    assert (bench.status.failures, bench.status.retried) == ({"invalid_request": 1}, 0)


async def test_a_failure_that_passes_is_tried_again_with_the_same_request(no_waits: None) -> None:
    async def answer(request: Request) -> Reply:
        if request.attempt < 3:
            raise PASSING
        return reply()

    bench = Bench(answer)
    (record,) = await bench.run(1)
    assert (record.type, record.attempts) == ("answer", 3)
    assert [request.attempt for request in bench.client.calls] == [1, 2, 3]
    first, *others = bench.client.calls
    assert [(other.body, other.line, other.index) for other in others] == [(first.body, first.line, 0)] * 2
    assert (bench.status.failures, bench.status.retried) == ({}, 2)


async def test_tries_run_out(no_waits: None) -> None:
    async def answer(_: Request) -> Reply:
        raise PASSING

    bench = Bench(answer, max_attempts=4)
    (record,) = await bench.run(1)
    assert record.error is not None
    assert (record.error.type, record.error.message, record.error.status) == ("overloaded", "busy", 529)
    assert record.attempts == len(bench.client.calls) == 4
    assert bench.status.failures == {"overloaded": 1}


async def test_tries_are_those_of_one_request_and_not_of_the_dialogue(no_waits: None) -> None:
    async def answer(request: Request) -> Reply:
        if request.attempt == 1:
            raise PASSING
        return reply()

    turns = tuple(f"turn {number}" for number in range(6))
    (record,) = await Bench(answer, max_attempts=2).run([dialogue(turns=turns)])
    assert (record.type, record.attempts) == ("answer", 7)


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    async def answer(_: Request) -> Reply:
        raise asked_to_wait(700)

    bench = Bench(answer, deadline_s=600)
    (record,) = await bench.run(1)
    assert record.error is not None
    assert (record.error.type, record.attempts) == ("rate_limited", 1)


async def test_the_slot_is_free_while_a_dialogue_backs_off() -> None:
    async def answer(request: Request) -> Reply:
        if request.index == 0 and request.attempt == 1:
            raise asked_to_wait(0.05)
        return reply()

    bench = Bench(answer, concurrency=1)
    records = await bench.run(5)
    assert bench.client.asked == ["d0", "d1", "d2", "d3", "d4", "d0"]
    assert [record.dialogue_id for record in records][-1] == "d0"
    assert bench.client.most == 1
    bench.assert_nothing_leaked()


async def test_a_dialogue_that_comes_back_goes_before_those_not_begun(no_waits: None) -> None:
    async def answer(request: Request) -> Reply:
        if request.index == 0 and request.attempt == 1:
            raise PASSING
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        return reply()

    bench = Bench(answer, concurrency=1)
    await bench.run(300)
    assert bench.client.asked.index("d0", 1) < 150
    assert bench.client.most == 1


async def test_a_provider_that_only_refuses_is_not_sent_everything() -> None:
    async def answer(_: Request) -> Reply:
        raise asked_to_wait(500)

    bench = Bench(answer, concurrency=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pool.run, bench.planner.plan(dialogue(index) for index in range(1000)))
        await anyio.wait_all_tasks_blocked()
        assert len(bench.client.calls) == bench.status.backing_off == pool_module.BACKING_OFF_PER_SLOT + 1
        tasks.cancel_scope.cancel()


async def test_ten_thousand_failures_leak_no_slot(no_waits: None) -> None:
    chance = random.Random(1)

    async def answer(request: Request) -> Reply:
        if chance.random() < 0.5:
            await anyio.lowlevel.checkpoint()
        if request.attempt < 6:
            raise PASSING
        return reply()

    bench = Bench(answer, concurrency=16, max_attempts=6)
    await bench.run(2_000)
    assert bench.status.retried == 10_000
    assert len(bench.kept.by_id) == 2_000
    assert 8 < bench.client.most <= 16
    bench.assert_nothing_leaked()


async def test_a_bug_comes_out_when_the_calls_of_others_have_ended() -> None:
    release = anyio.Event()

    async def answer(request: Request) -> Reply:
        if request.index == 0:
            await anyio.wait_all_tasks_blocked()
            release.set()
            raise ZeroDivisionError
        await release.wait()
        return reply(usage={"input_tokens": 1, "output_tokens": 1})

    budget = Budget(HAIKU)
    bench = Bench(answer, budget=budget)
    with pytest.raises(ZeroDivisionError):
        await bench.run(5)
    assert bench.client.asked == ["d0", "d1"]
    assert list(bench.kept.by_id) == ["d1"]
    assert (budget.reserved, budget.maybe) == (0, budget.worst(bench.client.calls[0]))
    bench.assert_nothing_leaked()


async def test_a_call_that_hangs_is_ended_and_tried_again(no_waits: None) -> None:
    async def answer(request: Request) -> Reply:
        return reply() if request.attempt == 3 else await never(request)

    bench = Bench(answer, timeout_s=0.02)
    (record,) = await bench.run(1)
    assert (record.type, record.attempts, bench.status.retried) == ("answer", 3, 2)
    bench.assert_nothing_leaked()


async def test_a_client_that_always_hangs_is_a_record_and_holds_up_nobody(no_waits: None) -> None:
    async def answer(request: Request) -> Reply:
        return await never(request) if request.index == 1 else reply()

    bench = Bench(answer, timeout_s=0.02, max_attempts=2)
    await bench.run(6)
    error = bench.kept.by_id["d1"].error
    assert error is not None
    assert (error.type, error.message) == ("timeout", "no reply before the deadline")
    assert bench.kept.by_id["d1"].attempts == 2
    assert sum(record.type == "answer" for record in bench.kept.records) == 5
    bench.assert_nothing_leaked()


async def test_the_deadline_of_a_dialogue_ends_its_call() -> None:
    bench = Bench(never, timeout_s=3600, deadline_s=0.03)
    (record,) = await bench.run(1)
    assert record.error is not None
    assert (record.error.type, record.attempts) == ("timeout", 1)


async def test_a_deadline_that_comes_before_that_of_calls_begun_earlier_is_kept() -> None:
    """At 1.2 s the watch looks away until 1.8 s; then a retry begins that has to end at 1.5 s."""
    ended = anyio.Event()

    async def answer(request: Request) -> Reply:
        match request.dialogue.dialogue_id:
            case "hangs" if request.attempt == 1:
                raise asked_to_wait(1.3)
            case "hangs":
                await never(request)
            case "late":
                await ended.wait()
            case _:
                await anyio.sleep(0.6)
        return reply()

    bench = Bench(answer, timeout_s=1.2, deadline_s=1.5, max_attempts=2)

    def note(record: Record) -> None:
        if record.dialogue_id == "hangs":
            ended.set()

    bench.kept.on_put = note
    names = ("hangs", "takes long", "takes as long", "late")
    await bench.run([dialogue(dialogue_id=name) for name in names])
    types = {name: record.type for name, record in bench.kept.by_id.items()}
    assert types == {"hangs": "error", "takes long": "answer", "takes as long": "answer", "late": "answer"}


async def test_a_cancellation_that_comes_too_late_does_not_hit_the_next_call(clock: Clock) -> None:
    """The reply and the end of its time arrive in the same turn of the event loop."""
    release = [anyio.Event(), anyio.Event()]

    async def answer(request: Request) -> Reply:
        await release[request.index].wait()
        return reply()

    bench = Bench(answer, concurrency=1, timeout_s=10)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.run, 2)
        await anyio.wait_all_tasks_blocked()
        clock.now += 11.0
        release[0].set()
        bench.pool._deadlines.end_late_calls()
        for _ in range(10):  # turns in which the cancellation would be delivered
            await anyio.lowlevel.checkpoint()
        release[1].set()
    assert bench.client.asked == ["d0", "d1"]
    assert [(record.type, record.attempts) for record in bench.kept.records] == [("answer", 1)] * 2
    bench.assert_nothing_leaked()


async def test_calls_that_end_just_at_their_time_are_counted_right(no_waits: None) -> None:
    async def answer(_: Request) -> Reply:
        await anyio.sleep(0.002)
        return reply()

    bench = Bench(answer, concurrency=8, timeout_s=0.002, max_attempts=50)
    await bench.run(100)
    assert len(bench.client.calls) == sum(record.attempts for record in bench.kept.by_id.values())
    assert len(bench.kept.by_id) == 100
    assert bench.client.most <= 8
    bench.assert_nothing_leaked()
