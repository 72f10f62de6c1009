"""`Pool`: how a run ends before its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from profiler.core.errors import CallError, DatasetError, Interrupted, Problem, ProfilerError, ProviderFailed
from profiler.core.nouns import Reply, Request
from profiler.engine.slots import Slots
from profiler.money.budget import Budget
from tests.profiler.building import dialogue
from tests.profiler.engine.calls.bench import STOP, Bench, asked_to_wait, never, refused, reply
from tests.profiler.engine.calls.test_call_cost import HAIKU

if TYPE_CHECKING:
    from collections.abc import Iterator


async def test_draining_lets_calls_in_flight_end_and_begins_no_other() -> None:
    release = anyio.Event()

    async def answer(_: Request) -> Reply:
        await release.wait()
        return reply()

    bench = Bench(answer)

    async def stop() -> None:
        await anyio.wait_all_tasks_blocked()
        bench.pool.drain(STOP)
        bench.pool.drain(Interrupted("later", signum=15))
        release.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        with pytest.raises(Interrupted, match="stopped"):
            await bench.run(10)
    assert bench.client.asked == ["d0", "d1"]
    assert len(bench.kept.by_id) == 2
    bench.assert_nothing_leaked()


@pytest.mark.parametrize("fatal", [True, False])
async def test_after_draining_no_further_turn_is_asked_and_the_dialogue_stays_owed(fatal: bool) -> None:
    release = anyio.Event()

    async def answer(request: Request) -> Reply:
        if request.index == 1:
            release.set()
            raise CallError("spend_limit", "no credit", status=402, fatal=fatal)
        await release.wait()
        if not fatal:
            bench.pool.drain(STOP)
        return reply()

    bench = Bench(answer)
    with pytest.raises(ProviderFailed if fatal else Interrupted):
        await bench.run([dialogue(0, turns=("a", "b", "c")), dialogue(1), dialogue(2)])
    assert bench.client.asked == ["d0", "d1"] if fatal else ["d0", "d1", "d2"]
    assert "d0" not in bench.kept.by_id
    bench.assert_nothing_leaked()


@pytest.mark.parametrize("error", [DatasetError([Problem(path="d", message="shrank")]), OSError("gone"), KeyError(1)])
async def test_a_dataset_that_breaks_off_does_not_cut_off_the_calls_in_flight(error: Exception) -> None:
    release = anyio.Event()

    async def answer(_: Request) -> Reply:
        await release.wait()
        return reply()

    def dialogues() -> Any:
        yield from (dialogue(0), dialogue(1))
        release.set()
        raise error

    bench = Bench(answer, concurrency=3)
    with pytest.raises(type(error)):
        await bench.pool.run(bench.planner.plan(dialogues()))
    assert sorted(bench.kept.by_id) == ["d0", "d1"]
    bench.assert_nothing_leaked()


async def test_requests_that_are_left_out_meanwhile_are_never_asked() -> None:
    """Another process has taken over the rest: the iterator ends early, and so does the pool."""
    ends = [20]

    async def answer(request: Request) -> Reply:
        if request.index == 4:
            ends[0] = 8
            bench.pool.leave_out(12)
        return reply()

    bench = Bench(answer)

    def owed() -> Iterator[Request]:
        for request in bench.planner.plan([dialogue(index) for index in range(20)]):
            if request.index >= ends[0]:
                return
            yield request

    with anyio.fail_after(20):
        await bench.pool.run(owed(), count=20)
    assert bench.client.asked == [f"d{index}" for index in range(8)]
    bench.assert_nothing_leaked()


async def test_draining_waits_for_no_retry() -> None:
    async def answer(_: Request) -> Reply:
        raise asked_to_wait(500)

    bench = Bench(answer)

    calls: list[Request] = []

    async def stop() -> None:
        await anyio.wait_all_tasks_blocked()
        assert bench.status.backing_off > 1
        calls.extend(bench.client.calls)
        bench.pool.drain(STOP)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        with pytest.raises(Interrupted):
            await bench.run(10)
    assert bench.client.calls == calls
    assert bench.kept.records == []
    bench.assert_nothing_leaked()


@pytest.mark.parametrize("long", [True, False], ids=["still backs off", "waits for its slot"])
async def test_draining_waits_for_no_slot_when_nobody_lends_any(no_waits: None, *, long: bool) -> None:
    async def answer(_: Request) -> Reply:
        lent.resize(0)  # as for a worker whose broker is gone
        raise asked_to_wait(500) if long else refused(retry_after_s=None)

    lent = Slots(2)
    bench = Bench(answer, within=lent)

    async def stop() -> None:
        for _ in range(10):  # a wait that is over at once still takes turns of the event loop
            await anyio.wait_all_tasks_blocked()
            await anyio.lowlevel.checkpoint()
        assert bool(bench.pool.slots.waiting) != long
        bench.pool.drain(STOP)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        with pytest.raises(Interrupted):
            await bench.run(10)
    assert bench.kept.records == []
    assert (lent.taken, lent.line) == (0, [])
    bench.assert_nothing_leaked()


async def test_abandoning_ends_the_calls_in_flight_too() -> None:
    budget = Budget(HAIKU)
    bench = Bench(never, budget=budget)
    bench.pool.abandon()  # before there is anything to end

    async def stop() -> None:
        await anyio.wait_all_tasks_blocked()
        bench.pool.drain(STOP)
        await anyio.wait_all_tasks_blocked()
        assert bench.status.in_flight == 2
        bench.pool.abandon()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        with pytest.raises(Interrupted):
            await bench.run(10)
    assert bench.kept.records == []
    assert bench.client.in_flight == 0
    assert (budget.reserved, budget.maybe) == (0, 2 * budget.worst(bench.client.calls[0]))


async def test_a_provider_that_refuses_to_go_on_stops_the_run_but_not_what_is_in_flight() -> None:
    release = anyio.Event()

    async def answer(request: Request) -> Reply:
        if request.index == 1:
            release.set()
            raise CallError("authentication", "no such key", status=401, fatal=True)
        await release.wait()
        return reply()

    bench = Bench(answer)
    with pytest.raises(ProviderFailed, match="refuses to go on: no such key") as caught:
        await bench.run(50)
    assert isinstance(caught.value, ProfilerError)
    assert caught.value.exit_code == 3
    assert bench.client.asked == ["d0", "d1"]
    assert list(bench.kept.by_id) == ["d0"]
    bench.assert_nothing_leaked()
