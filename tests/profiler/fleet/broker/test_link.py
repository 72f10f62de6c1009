"""Eight workers with a broker against one provider with a limit, on a clock that jumps; what the provider saw counts.

And one worker with a cap, whose broker is the test."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import pytest

from profiler.core.errors import ProviderFailed
from profiler.engine.slots import Slots
from profiler.fleet.broker.broker import LEASE_S
from profiler.fleet.broker.link import LOOK_FOR_ROOM_EVERY_S, Link
from profiler.fleet.broker.outage import ALONE, ALONE_AFTER_S
from profiler.fleet.broker.settings import EvenShare
from profiler.manifest.settings import RateLimits
from tests.profiler.engine.limits.provider import LimitedProvider, asking
from tests.profiler.fleet.broker.fleet import ROOT, Fleet
from tests.profiler.jumping_clock import jumping

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.fleet.broker.messages import Renewal

PER_MINUTE, SECONDS = 1200, 120


@pytest.mark.parametrize(
    ("provider", "limits"),
    [
        pytest.param(
            lambda: LimitedProvider(requests_per_minute=PER_MINUTE, tells=False),
            RateLimits(requests_per_minute=PER_MINUTE),
            id="named in the manifest",
        ),
        pytest.param(lambda: LimitedProvider(requests_per_minute=PER_MINUTE), None, id="named in headers only"),
    ],
)
@jumping
async def test_eight_workers_together_use_what_is_allowed_and_are_hardly_refused(
    provider: Callable[[], LimitedProvider], limits: RateLimits | None
) -> None:
    limited, fleet = provider(), Fleet(limits=limits)
    async with asking(limited) as client:
        await fleet.ask_for(client, SECONDS)

    allowed = PER_MINUTE / 60 * (SECONDS + 60)  # a whole minute may come at once
    assert 0.965 <= limited.answered / allowed <= 1.0
    assert limited.share() <= 0.01
    assert fleet.messages <= 1.5 * 8 * SECONDS


@jumping
async def test_two_workers_soon_have_all_the_calls_in_flight_that_are_allowed() -> None:
    concurrency, latency_s = 200, 0.1
    provider, fleet = LimitedProvider(latency_s=latency_s), Fleet(workers=2, concurrency=concurrency)
    async with asking(provider) as client:
        began = time.monotonic()
        await fleet.ask_for(client, 1.6)

    in_flight = sum(began + 1.5 <= call.at < began + 1.5 + latency_s for call in provider.history)
    assert in_flight >= 0.9 * concurrency


class Hurried(Link):
    """Notes with how many slots it was in a hurry."""

    def __init__(self, slots: Slots) -> None:
        super().__init__(unreachable, who="w", root=ROOT, capped=False)
        self.limits_of(slots, longest_pause_s=1.0)
        self.seen: list[int] = []
        self._of = slots

    def hurry(self) -> None:
        if hasattr(self, "_of"):
            self.seen.append(self._of.limit)


async def unreachable(_: Renewal) -> None:
    return None


@jumping
async def test_a_worker_asks_for_more_as_soon_as_all_that_it_was_lent_is_in_use() -> None:
    slots = Slots(8)
    link = Hurried(slots)
    looks_s = 3.5 * LOOK_FOR_ROOM_EVERY_S
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(link.look_for_room)
        slots.count(1)
        await anyio.sleep(looks_s)
        assert link.seen == [1]
        slots.resize(4)
        slots.count(3)
        await anyio.sleep(looks_s)
        assert link.seen == [1, 4]  # and not once more for what it knows
        slots.resize(0)
        await anyio.sleep(looks_s)
        assert link.seen[2:] == [0] * len(link.seen[2:])  # it can do nothing, so it goes on asking
        assert len(link.seen) >= 5
        tasks.cancel_scope.cancel()


@pytest.mark.long
@jumping
async def test_tokens_that_the_provider_sets_aside_are_shared_out_too() -> None:
    limited, fleet = LimitedProvider(output_tokens_per_minute=60_000, holds_max_tokens=True), Fleet()
    async with asking(limited) as client:
        await fleet.ask_for(client, SECONDS, max_tokens=100)

    allowed = 60_000 / 60 * (SECONDS + 60) / 20
    assert 0.94 <= limited.answered / allowed <= 1.0
    assert limited.share() <= 0.01


@jumping
async def test_a_limit_that_nobody_names_is_learned_by_all_together_at_few_refusals() -> None:
    limited, fleet = (
        LimitedProvider(requests_per_minute=PER_MINUTE, burst_s=2.0, tells=False, latency_s=0.3, spread=0.3),
        Fleet(concurrency=64),
    )
    learned_by, seconds = 60, 180
    async with asking(limited) as client:
        began = time.monotonic()
        await fleet.ask_for(client, seconds)

    first = [call.status for call in limited.history if call.at < began + learned_by]
    later = [call.status for call in limited.history if call.at >= began + learned_by]
    assert first.count(200) >= 0.9 * PER_MINUTE / 60 * (learned_by + 2)
    assert first.count(429) <= 0.04 * len(first)
    assert (
        0.97 <= later.count(200) / (PER_MINUTE / 60 * (seconds - learned_by)) <= 1.02
    )  # two seconds' worth may be saved up
    assert later.count(429) <= 0.01 * len(later)


@jumping
async def test_a_limit_that_nobody_names_and_that_falls_is_kept_after_a_few_seconds() -> None:
    limited, fleet = (
        LimitedProvider(requests_per_minute=PER_MINUTE, burst_s=2.0, tells=False, latency_s=0.3, spread=0.3),
        Fleet(concurrency=64),
    )
    async with asking(limited) as client, anyio.create_task_group() as beside:
        began = time.monotonic()
        beside.start_soon(fleet.ask_for, client, 120)
        await anyio.sleep(60)
        limited.changes_to(PER_MINUTE / 2)

    later = [call.status for call in limited.history if call.at >= began + 75]
    assert 0.85 <= later.count(200) / (PER_MINUTE / 120 * 45) <= 1.1
    assert later.count(429) <= 0.2 * len(later)  # seldom a rate is forgotten once more, and learned again


@jumping
async def test_a_refusal_that_one_worker_meets_keeps_all_from_calling() -> None:
    refused: list[int] = []

    def once(number: int) -> int | None:
        if number == 300:
            refused.append(number)
            return 429
        return None

    limited, fleet = LimitedProvider(fault=once, retry_after="20", latency_s=0.5), Fleet(concurrency=32)
    async with asking(limited) as client:
        await fleet.ask_for(client, 40)

    refused_at = limited.history[300].at
    assert refused == [300]
    # the others hear of it when they renew
    assert sum(refused_at + 1.7 < call.at < refused_at + 20 for call in limited.history) == 0
    assert sum(refused_at + 20 < call.at for call in limited.history) > 100


@jumping
async def test_without_a_broker_nothing_leaves_when_the_lease_is_over_but_the_even_share() -> None:
    limited, fleet = (
        LimitedProvider(requests_per_minute=600, latency_s=0.1),
        Fleet(workers=4, limits=RateLimits(requests_per_minute=600)),
    )

    async def cut() -> None:
        await anyio.sleep(90)
        fleet.reachable = False

    async with asking(limited) as client, anyio.create_task_group() as beside:
        began = time.monotonic()
        beside.start_soon(cut)
        await fleet.ask_for(client, 180)

    cut_at = began + 90
    soon = sum(cut_at < call.at < cut_at + LEASE_S for call in limited.history)
    later = sum(cut_at + LEASE_S + 1 < call.at for call in limited.history)
    assert soon <= 600 / 60 * 1.5  # what was granted for about a second
    assert 0.8 * 600 * 84 / 60 <= later <= 600 * 85 / 60
    assert limited.share() == 0


@jumping
async def test_where_a_broker_was_never_there_each_has_its_even_share_and_says_so_and_one_that_comes_takes_over() -> (
    None
):
    limited, fleet = (
        LimitedProvider(requests_per_minute=600, latency_s=0.1, tells=False),
        Fleet(
            workers=4,
            concurrency=12,
            limits=RateLimits(requests_per_minute=600),
            alone=EvenShare(concurrency=3, per_minute={"requests": 150.0}),
        ),
    )
    fleet.reachable = False

    async def start() -> None:
        await anyio.sleep(70)
        fleet.replace_broker()

    async with asking(limited) as client, anyio.create_task_group() as beside:
        began = time.monotonic()
        beside.start_soon(start)
        await fleet.ask_for(client, 110)

    early = sum(call.at < began + ALONE_AFTER_S for call in limited.history)
    alone = sum(call.at < began + 70 for call in limited.history)
    assert early == 0
    assert 0.9 * 600 * 64 / 60 <= alone <= 600 * 65 / 60
    assert max(limited.in_flight[:alone]) <= 12
    assert fleet.told == [ALONE] * 4
    assert len(limited.history) - alone >= 0.9 * 600 * 39 / 60
    assert limited.share() == 0


@jumping
async def test_a_broker_that_is_replaced_costs_the_seconds_that_it_is_gone_and_no_refusals() -> None:
    limited, fleet = (
        LimitedProvider(requests_per_minute=600, latency_s=0.1, tells=False),
        Fleet(workers=4, limits=RateLimits(requests_per_minute=600)),
    )

    async def kill() -> None:
        await anyio.sleep(70)
        fleet.reachable = False
        await anyio.sleep(1.5)
        fleet.replace_broker()

    async with asking(limited) as client, anyio.create_task_group() as beside:
        began = time.monotonic()
        beside.start_soon(kill)
        await fleet.ask_for(client, 110)

    after = sum(began + 70 < call.at <= began + 110 for call in limited.history)
    assert after >= 10 * (40 - 4)
    assert limited.share() == 0


@pytest.mark.parametrize("away_s", [0.0, 1.5])
@jumping
async def test_a_broker_that_is_replaced_hands_out_no_slots_that_workers_hold(away_s: float) -> None:
    concurrency, latency_s = 12, 1.0
    limited, fleet = LimitedProvider(latency_s=latency_s, spread=0.5), Fleet(workers=4, concurrency=concurrency)
    busy: list[int] = []

    async def kill_again_and_again() -> None:
        for seconds in (30.0, 17.3, 0.4, 9.1):
            await anyio.sleep(seconds)
            fleet.reachable = False
            await anyio.sleep(away_s)
            fleet.replace_broker()
            begun = len(limited.in_flight)
            await anyio.sleep(4.0)
            busy.append(max(limited.in_flight[begun:]))

    async with asking(limited) as client, anyio.create_task_group() as beside:
        beside.start_soon(kill_again_and_again)
        await fleet.ask_for(client, 90)

    assert max(limited.in_flight) == concurrency
    assert min(busy) == concurrency  # what was found good is kept


@jumping
async def test_a_provider_that_refuses_everything_is_asked_a_few_times_by_all_of_them_together() -> None:
    limited, fleet = LimitedProvider(fault=lambda _: 400), Fleet()
    async with asking(limited) as client:
        with pytest.raises(BaseExceptionGroup) as stopped:
            await fleet.ask_for(client, 60)

    assert stopped.group_contains(ProviderFailed, match="the first 5 calls were all refused")
    assert len(limited.history) <= 8 * 5
