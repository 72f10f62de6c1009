"""The pool behind its gate: what a provider's limits and refusals do to a live run."""

from __future__ import annotations

import time
from contextlib import nullcontext

import anyio
import anyio.lowlevel
import pytest

from profiler.core.errors import CallError, Interrupted, ProviderFailed
from profiler.core.nouns import Limit, RateHeaders, Reply, Request
from profiler.engine.limits.first_refusals import HOPELESS_AFTER
from profiler.engine.limits.rate_gate import RateGate
from profiler.engine.slots import Slots
from profiler.manifest.settings import RateLimits
from profiler.money.budget import Budget
from tests.profiler.engine.calls.bench import Bench, at_once, refused, reply
from tests.profiler.engine.calls.test_call_cost import HAIKU
from tests.profiler.jumping_clock import jumping


async def test_the_first_calls_are_few_and_then_as_many_as_allowed() -> None:
    bench: Bench

    async def answer(_: Request) -> Reply:
        await anyio.wait_all_tasks_blocked()
        return reply()

    bench = Bench(answer, concurrency=40, gate=RateGate())
    await bench.run(300)

    assert len(bench.client.calls) == 300
    assert bench.client.most == 40
    bound_by = bench.pool.bound_by()
    assert bound_by is not None
    assert [change["limit"] for change in bound_by["concurrency"]] == [8, 40]
    bench.assert_nothing_leaked()


@jumping
async def test_a_rate_limit_uses_up_no_try() -> None:
    async def answer(request: Request) -> Reply:
        if request.attempt <= 6:
            raise refused(retry_after_s=0.0)
        return reply()

    bench = Bench(answer, max_attempts=2, gate=RateGate())
    records = await bench.run(1, patience_s=600)

    assert [(record.type, record.attempts) for record in records] == [("answer", 7)]


@jumping
async def test_a_rate_limit_that_never_ends_is_ended_by_the_deadline() -> None:
    async def answer(request: Request) -> Reply:
        if request.index:
            raise refused(retry_after_s=0.05)
        return reply()

    bench = Bench(answer, deadline_s=0.3, gate=RateGate())
    records = await bench.run(2, patience_s=600)

    assert [record.error.type for record in records if record.error] == ["rate_limited"]


@jumping
async def test_one_refusal_holds_everybody_for_as_long_as_was_asked() -> None:
    refusals: list[float] = []
    calls: list[float] = []

    async def answer(request: Request) -> Reply:
        calls.append(time.monotonic())
        if request.index == 3 and not refusals:
            refusals.append(time.monotonic())
            raise refused(retry_after_s=0.3)
        return reply()

    bench = Bench(answer, concurrency=1, gate=RateGate())
    await bench.run(10, patience_s=600)

    later = [called - refusals[0] for called in calls if called > refusals[0]]
    assert len(later) == 7
    assert 0.3 <= min(later) < 0.45


@jumping
async def test_an_overloaded_provider_gets_fewer_calls_at_once_and_the_summary_says_so() -> None:
    hit: list[Request] = []

    async def answer(request: Request) -> Reply:
        await anyio.wait_all_tasks_blocked()
        if request.index >= 100 and len(hit) < 20:
            hit.append(request)
            raise refused("overloaded", retry_after_s=1.0)
        return reply()

    bench = Bench(answer, concurrency=32, gate=RateGate())
    await bench.run(200, patience_s=600)

    bound_by = bench.pool.bound_by()
    assert bound_by is not None
    assert [(change["limit"], change["reason"]) for change in bound_by["concurrency"]][:3] == [
        (8, "start"),
        (32, "all slots in use"),
        (16, "overloaded"),
    ]
    assert list(bound_by["waited_s"]) == ["retry_after"]
    assert bound_by["push_backs"] == {"overloaded": 20}
    bench.assert_nothing_leaked()


async def test_an_overload_that_is_one_of_a_kind_holds_nobody_up() -> None:
    async def answer(request: Request) -> Reply:
        await anyio.lowlevel.checkpoint()
        if request.index == 100 and request.attempt == 1:
            raise refused("overloaded", retry_after_s=0.01)
        return reply()

    bench = Bench(answer, concurrency=32, max_attempts=1, gate=RateGate())
    records = await bench.run(200)

    assert [record.type for record in records] == ["answer"] * 200
    bound_by = bench.pool.bound_by()
    assert bound_by is not None
    assert (bound_by["push_backs"], bound_by["waited_s"]) == ({"overloaded": 1}, {})
    assert [change["limit"] for change in bound_by["concurrency"]] == [8, 32]


async def test_what_the_headers_say_is_left_is_not_overdrawn() -> None:
    left = [3.0]

    async def answer(_: Request) -> Reply:
        left[0] -= 1
        assert left[0] >= -1e-6
        return reply(limits=RateHeaders(requests=Limit(limit=1200, remaining=left[0])))

    async def refill() -> None:
        while True:
            await anyio.sleep(0.05)
            left[0] += 1

    bench = Bench(answer, concurrency=1, gate=RateGate())
    async with anyio.create_task_group() as group:
        group.start_soon(refill)
        await bench.run(8)
        group.cancel_scope.cancel()

    assert len(bench.client.calls) == 8


async def test_without_a_gate_nothing_is_paced() -> None:
    bench = Bench(at_once, concurrency=40)
    await bench.run(50)

    assert bench.pool.bound_by() is None
    assert bench.slots.limit == 40


@jumping
async def test_a_ramp_limit_makes_the_run_grow_slowly() -> None:
    hit: list[Request] = []

    async def answer(request: Request) -> Reply:
        await anyio.wait_all_tasks_blocked()
        if request.index == 100 and not hit:
            hit.append(request)
            raise CallError("rate_limited", "too fast", status=429, retryable=True, retry_after_s=0.01, ramp=True)
        return reply()

    bench = Bench(answer, concurrency=32, gate=RateGate())
    await bench.run(2000, patience_s=600)

    bound_by = bench.pool.bound_by()
    assert bound_by is not None
    assert bound_by["concurrency"][-1]["reason"] == "ramp_limit"
    assert bench.slots.limit == 16


@jumping
async def test_an_absurd_pause_is_cut_to_the_deadline_and_ends_only_its_dialogue() -> None:
    hit: list[Request] = []

    async def answer(request: Request) -> Reply:
        if request.index == 2 and not hit:
            hit.append(request)
            raise refused(retry_after_s=1e9)
        return reply()

    bench = Bench(answer, concurrency=1, deadline_s=0.3, gate=RateGate())
    began = time.monotonic()
    records = await bench.run(6, patience_s=600)

    assert [record.type for record in records] == ["answer", "answer", "error", "answer", "answer", "answer"]
    assert 0.3 <= time.monotonic() - began < 5


async def test_a_provider_that_only_asks_for_absurd_pauses_ends_the_run() -> None:
    async def answer(_: Request) -> Reply:
        await anyio.wait_all_tasks_blocked()
        raise refused(retry_after_s=1e9)

    bench = Bench(answer, concurrency=64, deadline_s=60, gate=RateGate())
    with pytest.raises(ProviderFailed, match="the provider takes nothing"):
        await bench.run(1000)

    assert HOPELESS_AFTER <= len(bench.client.calls) <= 8
    bench.assert_nothing_leaked()


@jumping
async def test_a_dialogue_whose_deadline_comes_in_line_keeps_the_error_it_was_refused_with() -> None:
    async def answer(request: Request) -> Reply:
        if request.index == 0:
            return reply()
        await anyio.wait_all_tasks_blocked()
        if request.index == 1:
            raise refused(retry_after_s=0.5)
        await anyio.sleep(0.02)
        raise refused(retry_after_s=60)

    bench = Bench(answer, concurrency=2, deadline_s=5, gate=RateGate())
    records = await bench.run(3, patience_s=600)

    assert [(record.index, record.error.type) for record in records if record.error] == [
        (2, "rate_limited"),
        (1, "rate_limited"),
    ]
    assert len(bench.client.calls) == 3


@jumping
@pytest.mark.parametrize("drains", [False, True])
async def test_a_call_that_is_let_go_needs_a_place_again_and_does_not_leave_if_the_run_drains(*, drains: bool) -> None:
    places, gate, budget = Slots(1), RateGate(RateLimits(requests_per_minute=1)), Budget(HAIKU)
    bench = Bench(at_once, concurrency=1, gate=gate, budget=budget, within=places)

    async def another() -> None:
        """Has the place while the second call waits for its limit, and keeps it for longer."""
        await anyio.sleep(1)
        assert places.take_nowait()
        await anyio.sleep(60)
        assert (len(bench.client.calls), len(places.waiting)) == (1, 1)
        if drains:
            bench.pool.drain(Interrupted("stopped", signum=2))
        places.give()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(another)
        with pytest.raises(Interrupted) if drains else nullcontext():
            await bench.run(2, patience_s=600)

    assert len(bench.client.calls) == (1 if drains else 2)
    assert (gate.traffic.in_flight.requests, budget.reserved, places.taken) == (0, 0, 0)
    bench.assert_nothing_leaked()


async def test_the_summary_says_what_bound_the_run() -> None:
    async def answer(_: Request) -> Reply:
        await anyio.sleep(0.001)
        return reply()

    bench = Bench(answer, concurrency=4, gate=RateGate(RateLimits(requests_per_minute=1200)))
    bench.machine.limits._gate._buckets["requests"].draw(1200)  # type: ignore[union-attr]
    await bench.run(10)

    bound_by = bench.pool.bound_by()
    assert bound_by is not None
    assert bound_by["most"].startswith("requests ")
    assert bound_by["most"].endswith(" %")
    assert bound_by["limits"] == [{"at_s": 0.0, "limit": "requests", "per_minute": 1200, "told_by": "manifest"}]
