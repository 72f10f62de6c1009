"""Runs against a provider that enforces limits by its own rules; what it saw is what counts."""

from __future__ import annotations

import random
import time

import anyio
import pytest

from profiler.core.errors import ProviderFailed
from profiler.manifest.settings import RateLimits
from tests.profiler.engine.limits.provider import (
    LimitedProvider,
    Records,
    ask_for,
    asking,
    by_chance,
    pool_of,
    reachable,
)
from tests.profiler.jumping_clock import jumping

NAMED = RateLimits(output_tokens_per_minute=60_000)


async def asked(
    provider: LimitedProvider,
    *,
    seconds: float = 60,
    processes: int = 1,
    concurrency: int = 200,
    limits: RateLimits | None = None,
) -> None:
    async with asking(provider) as client, anyio.create_task_group() as group:
        for _ in range(processes):
            pool = pool_of(client, Records(), concurrency=concurrency, limits=limits)
            group.start_soon(ask_for, pool, seconds)


@pytest.mark.parametrize("retry_after", ["0", "-5", "Wed, 21 Oct 2015 07:28:00 GMT", None])
@jumping
async def test_a_provider_that_refuses_everything_meets_no_storm_and_is_asked_until_the_deadline(
    retry_after: str | None,
) -> None:
    provider = LimitedProvider(fault=lambda _: 429, retry_after=retry_after)
    began = time.monotonic()
    async with asking(provider) as client:
        with pytest.raises(ProviderFailed, match="found no way in before the deadline"):
            await ask_for(pool_of(client, Records(), deadline_s=60), 600)

    assert 45 <= time.monotonic() - began <= 65
    assert len(provider.history) <= 40


@jumping
async def test_a_storm_of_refusals_that_ends_before_the_deadline_costs_no_dialogue() -> None:
    records = Records()
    over = time.monotonic() + 40
    provider = LimitedProvider(fault=lambda _: 429 if time.monotonic() < over else None, retry_after="0")
    async with asking(provider) as client:
        await ask_for(pool_of(client, records, deadline_s=60), 90)

    assert {record.type for record in records.all} == {"answer"}
    assert len(records.all) > 1000


@jumping
async def test_failures_by_chance_leave_most_slots_in_use() -> None:
    """Of 200; before, 44: each of these refusals halved the calls at once and made everybody wait."""
    provider = LimitedProvider(fault=by_chance(0.015, 529, 500))
    await asked(provider, seconds=30)

    in_use = provider.in_flight[len(provider.in_flight) // 4 :]  # after the first rounds, which double
    assert sum(in_use) / len(in_use) >= 160
    assert provider.share(529) > 0.004


@pytest.mark.parametrize(
    ("limits", "latency_s", "seconds"),
    [
        pytest.param(None, 3.0, 120, id="told by headers"),
        pytest.param(NAMED, 1.0, 60, id="named in the manifest"),
        pytest.param(None, 1.0, 60, id="told by headers, quickly", marks=pytest.mark.long),
        pytest.param(NAMED, 3.0, 120, id="named in the manifest, slowly", marks=pytest.mark.long),
    ],
)
@jumping
async def test_what_a_provider_holds_for_max_tokens_is_learned(
    limits: RateLimits | None, latency_s: float, seconds: float
) -> None:
    provider = LimitedProvider(
        latency_s=latency_s, output_tokens_per_minute=60_000, holds_max_tokens=True, tells=limits is None
    )
    await asked(provider, seconds=seconds, limits=limits)

    most = reachable(seconds=seconds, per_minute=60_000, hold=1024, used=20, latency_s=latency_s, slots=200)
    assert provider.answered >= 0.9 * most
    assert provider.share(429) <= 0.02


@jumping
async def test_a_provider_that_counts_answers_is_not_taken_for_one_that_holds_max_tokens() -> None:
    provider = LimitedProvider(output_tokens_per_minute=60_000)
    await asked(provider)

    most = reachable(seconds=60, per_minute=60_000, hold=20, used=20, latency_s=1.0, slots=200)
    assert provider.answered >= 0.95 * most
    assert provider.share(429) <= 0.01


@pytest.mark.parametrize(
    ("burst_s", "retry_after"),
    [
        *((1.0, "exact"), (60.0, None), (60.0, "1")),
        *(pytest.param(*each, marks=pytest.mark.long) for each in ((60.0, "exact"), (1.0, None), (1.0, "1"))),
    ],
)
@jumping
async def test_two_processes_with_one_key_share_a_limit_that_nobody_tells_of(
    burst_s: float, retry_after: str | None
) -> None:
    random.seed(1)  # of the pauses, so that chance decides nothing
    provider = LimitedProvider(
        latency_s=0.5, spread=0.5, requests_per_minute=600, tells=False, burst_s=burst_s, retry_after=retry_after
    )
    await asked(provider, seconds=240, processes=2, concurrency=64)

    assert provider.answered >= 0.9 * 10 * (burst_s + 240)
    assert provider.share(429) <= 0.05


@jumping
async def test_two_processes_that_both_think_the_named_limit_is_theirs_share_it() -> None:
    provider = LimitedProvider(latency_s=0.5, requests_per_minute=600, tells=False)
    limits = RateLimits(requests_per_minute=600)
    await asked(provider, seconds=120, processes=2, concurrency=64, limits=limits)

    assert provider.answered >= 0.9 * 10 * 180
    assert provider.share(429) <= 0.05


@jumping
async def test_a_limit_that_is_enforced_by_the_second_although_it_is_told_by_the_minute() -> None:
    """The headers always say that most of it is left; what is refused all the same teaches the rate."""
    provider = LimitedProvider(latency_s=0.5, requests_per_minute=600, burst_s=1.0, tells_minutes=True)
    await asked(provider, seconds=120, concurrency=64)

    assert provider.answered >= 0.9 * 10 * 121
    assert provider.share(429) <= 0.05
