"""Calls of which nobody knows what they cost count with the most that they can have cost: silent ones, late ones, those of a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from profiler.core.errors import BudgetReached, CallError, ProviderFailed
from profiler.core.nouns import Reply
from profiler.engine.runner import run
from profiler.manifest.settings import RateLimits, Retry
from profiler.money.prices import PICO, dollars
from profiler.storage import ledger
from profiler.storage.money import Money
from tests.profiler.engine.paying import SHARE, WORST, Crash, Provider, experiment, lost, options, rows

if TYPE_CHECKING:
    from profiler.core.nouns import Request


async def test_calls_that_went_silent_count_against_the_cap(tmp_path: Path) -> None:
    silent = Provider(lost(*(f"d{index}" for index in range(60))))
    with pytest.raises(BudgetReached, match="may have been billed"):
        await run(
            experiment(tmp_path), options=options(tmp_path, concurrency=8, max_cost_usd=5 * WORST / PICO), client=silent
        )

    assert silent.calls.total() == 5


async def test_a_silent_failure_has_an_unknown_cost_and_a_refused_one_cost_nothing(tmp_path: Path) -> None:
    def trouble(asked: Request) -> CallError | None:
        if asked.index == 3:
            return CallError("invalid_request", "no", status=400)
        return lost("d2")(asked)

    provider = Provider(trouble)
    result = await run(experiment(tmp_path), options=options(tmp_path), client=provider)
    costs = {row["dialogue_id"]: row["cost_usd"] for row in rows(tmp_path)}

    assert (costs["d2"], costs["d3"]) == (None, 0.0)
    assert result.summary["run"]["maybe_billed_usd"] == pytest.approx(WORST / PICO, rel=0.02)
    spent = result.summary["run"]["spent_usd"]
    assert dollars(provider.billed) <= spent + result.summary["run"]["maybe_billed_usd"]


async def test_a_call_that_ran_out_of_time_may_have_been_billed(tmp_path: Path) -> None:
    class Mute:
        async def complete(self, request: Request) -> Reply:
            await anyio.sleep_forever()
            raise AssertionError("nobody wakes it")

    few = experiment(tmp_path, count=3, timeout_s=0.05)
    result = await run(few, options=options(tmp_path), client=Mute())

    assert result.summary["counts"]["errors"] == {"timeout": 3}
    assert result.summary["run"]["maybe_billed_usd"] == pytest.approx(3 * WORST / PICO, rel=0.02)


async def test_calls_that_never_left_the_gate_were_not_billed(tmp_path: Path) -> None:
    class Closed:
        async def complete(self, request: Request) -> Reply:
            await checkpoint()
            raise CallError("authentication", "no", status=401, fatal=True)

    slow = experiment(tmp_path, rate_limits=RateLimits(requests_per_minute=2))
    with pytest.raises(ProviderFailed):
        await run(slow, options=options(tmp_path, concurrency=16), client=Closed())

    left = ledger.read(tmp_path / "runs" / "paid")
    assert left is not None
    assert left.underway == ()
    assert left.carried == Money()


async def test_silent_failures_of_earlier_sessions_still_count(tmp_path: Path) -> None:
    silent = Provider(lost(*(f"d{index}" for index in range(4))))
    with pytest.raises(BudgetReached):
        await run(experiment(tmp_path), options=options(tmp_path, max_cost_usd=5 * WORST / PICO), client=silent)
    provider = Provider()
    with pytest.raises(BudgetReached):
        await run(experiment(tmp_path), options=options(tmp_path, max_cost_usd=6 * WORST / PICO), client=provider)

    assert silent.billed + provider.billed <= 6 * WORST
    assert provider.calls.total() <= 2 * SHARE


async def test_asking_failed_dialogues_again_counts_what_they_may_have_cost_before(tmp_path: Path) -> None:
    first = await run(experiment(tmp_path), options=options(tmp_path), client=Provider(lost("d7", "d8")))
    maybe = first.summary["run"]["maybe_billed_usd"]
    again = await run(experiment(tmp_path), options=options(tmp_path, retry_failed=True), client=Provider())

    assert maybe > 0
    assert again.summary["run"]["maybe_billed_usd"] == pytest.approx(maybe)
    assert again.summary["run"]["spent_usd"] == again.summary["cost_usd"]
    assert again.summary["cost"] == {"known": 60, "unknown": 0}


async def test_what_a_crash_left_in_flight_counts_with_the_most_it_can_have_cost(tmp_path: Path) -> None:
    def crash(asked: Request) -> BaseException | None:
        return Crash("a bug") if asked.index == 40 else None

    broken = Provider(crash)
    with pytest.raises(Crash, match="a bug"):
        await run(experiment(tmp_path), options=options(tmp_path, concurrency=8), client=broken)
    asked = len((tmp_path / "runs" / "paid" / "requests.jsonl").read_bytes().splitlines())
    told: list[str] = []
    result = await run(experiment(tmp_path), options=options(tmp_path), client=Provider(), note=told.append)
    facts = result.summary["run"]

    assert facts["resumed"]["maybe_billed"] > 0
    assert facts["resumed"]["kept"] + facts["resumed"]["maybe_billed"] == asked
    assert facts["maybe_billed_usd"] == pytest.approx(facts["resumed"]["maybe_billed"] * WORST / PICO, rel=0.02)
    assert dollars(broken.billed) <= facts["spent_usd"] + facts["maybe_billed_usd"]
    assert any("were in flight, may have been billed, and are asked again" in line for line in told)


async def test_of_what_was_in_flight_the_one_call_counts_and_not_what_might_have_followed(tmp_path: Path) -> None:
    def crash(asked: Request) -> BaseException | None:
        return Crash("a bug")

    patient = experiment(tmp_path, retry=Retry(max_attempts=3))
    with pytest.raises(Crash):
        await run(patient, options=options(tmp_path, concurrency=1), client=Provider(crash))
    provider = Provider()
    with pytest.raises(BudgetReached, match="may have been billed"):
        await run(patient, options=options(tmp_path, max_cost_usd=1.9 * WORST / PICO), client=provider)
    assert not provider.calls
    with pytest.raises(BudgetReached):
        await run(patient, options=options(tmp_path, max_cost_usd=3 * WORST / PICO), client=provider)
    assert provider.calls


async def test_a_turn_that_was_paid_counts_though_its_dialogue_failed_later(tmp_path: Path) -> None:
    talk = {"dialogue_id": "talk", "turns": ["one", "two"]}
    (tmp_path / "dialogues.jsonl").write_text(json.dumps(talk) + "\n")

    def second(asked: Request) -> CallError | None:
        return CallError("invalid_request", "no", status=400) if asked.turn else None

    provider = Provider(second)
    await run(experiment(tmp_path), options=options(tmp_path), client=provider)
    [row] = rows(tmp_path)

    assert row["type"] == "error"
    assert round(row["cost_usd"] * PICO) == provider.billed > 0
