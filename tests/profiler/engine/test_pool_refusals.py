"""The pool when a provider refuses all that it is asked at first."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from profiler.core.errors import CallError, ProviderFailed
from profiler.core.nouns import Reply, Request
from profiler.engine.limits.first_refusals import HOPELESS_AFTER
from profiler.engine.limits.rate_gate import RateGate
from tests.profiler.engine.calls.bench import Bench, reply
from tests.profiler.jumping_clock import jumping


@pytest.mark.parametrize("kind", ["authentication", "spend_limit"])
async def test_a_fatal_refusal_ends_the_run_after_a_handful_of_calls(kind: str) -> None:
    async def answer(_: Request) -> Reply:
        raise CallError(kind, "no", fatal=True)

    bench = Bench(answer, concurrency=64, gate=RateGate())
    with pytest.raises(ProviderFailed):
        await bench.run(1000)

    assert len(bench.client.calls) <= 8
    assert bench.kept.records == []
    bench.assert_nothing_leaked()


async def test_the_same_refusal_for_all_of_the_first_calls_ends_the_run() -> None:
    async def answer(_: Request) -> Reply:
        raise CallError("not_found", "there is no such model", status=404)

    bench = Bench(answer, concurrency=64, gate=RateGate())
    with pytest.raises(ProviderFailed, match="there is no such model"):
        await bench.run(1000)

    assert HOPELESS_AFTER <= len(bench.client.calls) <= 8


@jumping
async def test_first_refusals_say_nothing_while_a_call_that_left_before_them_is_in_flight() -> None:
    async def answer(request: Request) -> Reply:
        if request.index == 0:
            await anyio.sleep(30)
            return reply()
        await anyio.sleep(0.1)
        raise CallError("invalid_request", "no", status=400)

    bench = Bench(answer, concurrency=64, timeout_s=60, gate=RateGate())
    held_up_by: list[str | None] = []

    async def look() -> None:
        await anyio.sleep(29)
        held_up_by.append(bench.status.held_up_by)
        assert len(bench.client.calls) <= 2 * 8

    async with anyio.create_task_group() as group:
        group.start_soon(look)
        await bench.run(100, patience_s=600)

    assert [record.type for record in sorted(bench.kept.records, key=lambda each: each.index)] == (
        ["answer"] + ["error"] * 99
    )
    assert held_up_by == ["the calls that left first, as later ones were refused"]
    bench.assert_nothing_leaked()


@jumping
async def test_first_refusals_end_the_run_when_the_calls_that_left_before_them_had_no_answer_either() -> None:
    async def answer(request: Request) -> Reply:
        if request.index == 0 and request.attempt == 1:
            await anyio.sleep(30)
            raise CallError("server_error", "oops", status=500, retryable=True)
        await anyio.sleep(0.1)
        raise CallError("not_found", "there is no such model", status=404)

    bench = Bench(answer, concurrency=64, timeout_s=60, gate=RateGate())
    with pytest.raises(ProviderFailed, match="there is no such model"):
        await bench.run(1000, patience_s=600)

    assert len(bench.client.calls) <= 3 * 8
    bench.assert_nothing_leaked()


async def test_a_provider_that_answered_in_an_earlier_session_may_refuse_all_that_is_left() -> None:
    async def answer(_: Request) -> Reply:
        raise CallError("invalid_request", "no", status=400)

    bench = Bench(answer, concurrency=1, gate=RateGate())
    assert bench.machine.limits is not None
    bench.machine.limits.answered_before()
    records = await bench.run(30)

    assert [record.type for record in records] == ["error"] * 30


async def test_refusals_after_an_answer_are_about_their_dialogues() -> None:
    async def answer(request: Request) -> Reply:
        if request.index:
            raise CallError("invalid_request", "no", status=400)
        return reply()

    bench = Bench(answer, concurrency=1, gate=RateGate())
    records = await bench.run(30)

    assert [record.type for record in records] == ["answer"] + ["error"] * 29
