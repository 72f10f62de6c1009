"""`Pool`: what is asked, when, and by how many at once."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from profiler.core.nouns import Reply, Request
from profiler.engine.calls import deadlines
from profiler.engine.calls import pool as pool_module
from profiler.engine.slots import Slots
from tests.profiler.building import dialogue
from tests.profiler.engine.calls.bench import PASSING, Bench, asked_to_wait, at_once, never, reply

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("concurrency", [1, 3, 50])
async def test_every_dialogue_is_asked_once_and_in_order(concurrency: int) -> None:
    bench = Bench(at_once, concurrency=concurrency)
    records = await bench.run(20)
    assert bench.client.asked == [f"d{index}" for index in range(20)]
    assert sorted(record.index for record in records) == list(range(20))
    assert {record.type for record in records} == {"answer"}
    bench.assert_nothing_leaked()


async def test_as_many_are_in_flight_as_there_are_slots_and_no_more(no_waits: None) -> None:
    chance = random.Random(0)

    async def answer(_: Request) -> Reply:
        for _turn in range(chance.randrange(5)):
            await anyio.lowlevel.checkpoint()
        if chance.random() < 0.3:
            raise PASSING
        return reply()

    bench = Bench(answer, concurrency=7, max_attempts=100)
    await bench.run(500)
    assert bench.client.most == 7
    assert len(bench.kept.by_id) == 500
    bench.assert_nothing_leaked()


async def test_requests_are_taken_only_when_a_slot_is_free() -> None:
    taken = 0

    def dialogues() -> Any:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield dialogue(number)

    bench = Bench(never, concurrency=3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pool.run, bench.planner.plan(dialogues()))
        await anyio.wait_all_tasks_blocked()
        assert (taken, bench.status.in_flight) == (3, 3)
        tasks.cancel_scope.cancel()


async def test_hardly_more_workers_are_hired_than_there_is_work_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hired = 0

    class Counted(deadlines.Worker):
        __slots__ = ()

        def __init__(self) -> None:
            nonlocal hired
            hired += 1
            super().__init__()

    async def answer(_: Request) -> Reply:
        await anyio.wait_all_tasks_blocked()
        return reply()

    monkeypatch.setattr(pool_module, "Worker", Counted)
    bench = Bench(answer, concurrency=100_000)
    await bench.run(6)
    assert bench.client.most == 6
    assert hired <= 2 + 2 * 6
    bench.assert_nothing_leaked()


async def test_a_full_writer_is_waited_for() -> None:
    bench = Bench(at_once)
    bench.kept.full = True
    await bench.run(5)
    assert bench.kept.parked == 5


async def test_a_dialogue_that_is_cut_off_while_it_backs_off_gives_its_slot_back_once() -> None:
    shared = Slots(2)

    async def refused(_: Request) -> Reply:
        raise asked_to_wait(500)

    bench = Bench(refused)
    bench.pool.slots = Slots(2, within=shared)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.run, 1)
        await anyio.wait_all_tasks_blocked()
        assert (bench.status.backing_off, shared.taken) == (1, 0)
        tasks.cancel_scope.cancel()
    assert shared.taken == 0


@pytest.mark.parametrize("count", [3, 5, math.inf])
async def test_all_are_answered_whoever_has_counted_them(count: float) -> None:
    bench = Bench(at_once, concurrency=4)
    requests = bench.planner.plan(dialogue(index) for index in range(5))
    with anyio.fail_after(20):
        await bench.pool.run(iter(requests), count=count)
    assert len(bench.kept.records) == 5
    assert bench.slots.taken == 0


async def test_a_run_that_owes_nothing_still_looks_behind_its_last_dialogue() -> None:
    bench = Bench(at_once)
    looked: list[str] = []

    def nothing() -> Iterator[Request]:
        looked.append("yes")
        yield from ()

    with anyio.fail_after(20):
        await bench.pool.run(nothing(), count=0)
    assert looked == ["yes"]
