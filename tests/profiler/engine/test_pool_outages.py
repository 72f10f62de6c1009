"""The pool while a provider cannot be reached, or dialogues wait in line until their deadline."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from profiler.core.errors import CallError, ProviderFailed
from profiler.core.nouns import Reply, Request
from profiler.engine.calls import attempt
from profiler.engine.limits.rate_gate import RateGate
from tests.profiler.building import dialogue
from tests.profiler.engine.calls.bench import Bench, refused, reply
from tests.profiler.jumping_clock import jumping


def unreachable() -> CallError:
    return CallError("connection", "cannot connect: Connection refused", retryable=True, sent=False)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "FIRST_WAIT_S", 0.002)


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("count", [3, 100_000])
async def test_a_provider_that_never_answers_ends_the_run_and_leaves_its_dialogues_to_be_asked(count: int) -> None:
    async def answer(_: Request) -> Reply:
        raise unreachable()

    bench = Bench(answer, concurrency=1000, max_attempts=3, gate=RateGate())
    with pytest.raises(ProviderFailed, match=r"dialogues in a row got no reply: cannot connect") as stop:
        await bench.run(count)

    assert bench.kept.records == []
    assert len(bench.client.calls) <= 200
    assert "base_url" in (stop.value.hint or "")
    bench.assert_nothing_leaked()


@jumping
async def test_an_outage_in_the_middle_is_waited_for_and_costs_no_dialogue_its_tries() -> None:
    dead: list[Request] = []

    async def answer(request: Request) -> Reply:
        await anyio.lowlevel.checkpoint()
        if len(bench.client.calls) > 300 and len(dead) < 30:
            dead.append(request)
            raise unreachable()
        return reply()

    bench = Bench(answer, concurrency=16, max_attempts=2, gate=RateGate())
    records = await bench.run(1000, patience_s=600)

    assert [record.type for record in records] == ["answer"] * 1000
    assert len(dead) == 30
    bench.assert_nothing_leaked()


@jumping
async def test_an_outage_that_outlasts_the_deadline_stops_the_run_after_few_calls_and_fails_no_dialogue() -> None:
    dead: list[Request] = []

    async def answer(request: Request) -> Reply:
        await anyio.lowlevel.checkpoint()
        if len(bench.client.calls) <= 2_000:
            return reply()
        dead.append(request)
        raise unreachable()

    bench = Bench(answer, concurrency=100, deadline_s=1, gate=RateGate())
    with pytest.raises(ProviderFailed, match="does not answer"):
        await bench.run(100_000, patience_s=600)

    assert "connection" not in {record.error.type for record in bench.kept.records if record.error}
    assert 100 <= len(dead) <= 250
    bench.assert_nothing_leaked()


async def test_what_holds_a_run_up_in_an_outage_is_said() -> None:
    seen: list[str | None] = []

    async def answer(request: Request) -> Reply:
        if len(bench.client.calls) in range(4, 12):
            raise unreachable()
        seen.append(bench.status.held_up_by)
        return reply()

    bench = Bench(answer, concurrency=8, gate=RateGate())
    await bench.run(10)

    assert seen[3] == "a provider that cannot be reached (cannot connect: Connection refused)"
    assert bench.status.held_up_by is None


@pytest.mark.usefixtures("quick_retries")
async def test_connections_that_grew_old_hold_nobody_up() -> None:
    async def answer(request: Request) -> Reply:
        if request.attempt == 1 and request.index % 10 == 1:
            raise unreachable()
        return reply()

    bench = Bench(answer, concurrency=8, gate=RateGate())
    await bench.run(200)

    bound_by = bench.pool.bound_by()
    assert bound_by is not None
    assert (bound_by["push_backs"], bound_by["waited_s"]) == ({}, {})


@pytest.mark.usefixtures("quick_retries")
async def test_a_dialogue_that_nobody_heard_fails_when_others_are_answered() -> None:
    async def answer(request: Request) -> Reply:
        if request.index in {3, 9}:
            raise unreachable()
        return reply()

    bench = Bench(answer, concurrency=1, max_attempts=2, gate=RateGate())
    records = await bench.run(10)

    assert {record.index for record in records if record.type == "error"} == {3, 9}


@pytest.mark.usefixtures("quick_retries")
async def test_what_is_held_back_is_told_as_soon_as_a_refusal_shows_that_somebody_is_there() -> None:
    async def answer(request: Request) -> Reply:
        if request.index == 1:
            raise unreachable()
        if request.index == 2:
            raise CallError("invalid_request", "no", status=400)
        return reply()

    bench = Bench(answer, concurrency=1, max_attempts=1, gate=RateGate())
    records = await bench.run(3)

    assert [(record.index, record.type) for record in records] == [(0, "answer"), (1, "error"), (2, "error")]


async def test_a_turn_whose_deadline_comes_in_line_ends_its_dialogue_as_late() -> None:
    async def answer(request: Request) -> Reply:
        if request.dialogue.turns is None:
            await anyio.sleep(0.02)
            raise refused(retry_after_s=60)
        await anyio.sleep(0.05)
        return reply()

    bench = Bench(answer, concurrency=2, deadline_s=5, gate=RateGate())
    records = await bench.run([dialogue(0, turns=("one", "two")), dialogue(1)])

    assert {record.index: record.error.type for record in records if record.error} == {0: "timeout", 1: "rate_limited"}


@pytest.mark.usefixtures("quick_retries")
async def test_what_an_earlier_turn_failed_with_is_not_told_of_a_later_one() -> None:
    async def answer(request: Request) -> Reply:
        if request.dialogue.turns is None:
            await anyio.sleep(0.05)
            raise refused(retry_after_s=60)
        if request.attempt == 1:
            raise CallError("server_error", "oops", status=500, retryable=True)
        await anyio.sleep(0.1)
        return reply()

    bench = Bench(answer, concurrency=2, deadline_s=5, gate=RateGate())
    records = await bench.run([dialogue(0, turns=("one", "two")), dialogue(1)])

    assert {record.index: record.error.type for record in records if record.error} == {0: "timeout", 1: "rate_limited"}
