from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from profiler.core.errors import BudgetReached, CallError
from profiler.engine.calls.call_cost import CallCost
from profiler.money.budget import Budget
from profiler.money.price_list import look_up
from profiler.money.prices import PICO, dollars
from profiler.provider.requests import Planner
from tests.profiler.building import PARAMS, dialogue

CARD = look_up("claude-haiku-4-5", at=datetime(2026, 11, 1, tzinfo=UTC))
assert CARD is not None
HAIKU = CARD
REQUEST = Planner(PARAMS).request(7, dialogue(7))
WORST = Budget(HAIKU).worst(REQUEST)
USAGE = {"input_tokens": 10, "output_tokens": 2}
PRICE = 20_000_000
SILENCE = CallError("connection", "reset", retryable=True)
REFUSAL = CallError("overloaded", "busy", status=529, retryable=True)


class Places:
    """Stands where the ledger stands; keeps what each place says, and everything that was written."""

    def __init__(self) -> None:
        self.of: dict[int, int] = {}
        self.places: dict[int, tuple[int, int, int]] = {}
        self.written: list[tuple[int, int, int]] = []

    def enter(self, index: int, *, hold: int) -> int:
        assert index not in self.of
        self.of[index] = place = 100 + index
        self.places[place] = (0, 0, hold)
        self.written.append((0, 0, hold))
        return place

    def write(self, place: int, *, paid: int, maybe: int, hold: int) -> None:
        assert place in self.places
        self.places[place] = (paid, maybe, hold)
        self.written.append((paid, maybe, hold))

    def leave(self, index: int) -> None:
        del self.places[self.of.pop(index)]


def cost_of(budget: Budget | None, ledger: Places | None = None) -> CallCost:
    return CallCost(budget, ledger, REQUEST.index)


def called(cost: CallCost) -> CallCost:
    assert cost.set_aside(REQUEST)
    cost.leaves()
    return cost


def one(ledger: Places | None = None, **budget: Any) -> CallCost:
    return cost_of(Budget(HAIKU, **budget), ledger)


def test_the_worst_case_is_written_down_when_the_call_leaves_and_not_when_it_is_reserved() -> None:
    ledger = Places()
    cost = one(ledger)
    assert cost.set_aside(REQUEST)
    assert ledger.written == []
    cost.leaves()
    assert (ledger.of, ledger.written) == ({7: 107}, [(0, 0, WORST)])


def test_a_call_that_is_not_made_leaves_no_trace() -> None:
    ledger = Places()
    cost = one(ledger)
    assert cost.set_aside(REQUEST)
    cost.give_back()
    assert (ledger.written, cost.hold, cost.budget and cost.budget.committed) == ([], 0, 0)


def test_a_reply_exchanges_the_hold_for_its_price() -> None:
    ledger = Places()
    cost = called(one(ledger))
    cost.answered(USAGE)
    assert ledger.written[-1] == (PRICE, 0, 0)
    assert (cost.cost_usd, cost.maybe_usd) == (dollars(PRICE), 0.0)


def test_a_try_that_may_have_been_billed_stays_beside_the_price_of_the_answer() -> None:
    ledger = Places()
    cost = called(one(ledger))
    cost.failed(SILENCE)
    assert ledger.written[-1] == (0, WORST, 0)
    called(cost).answered(USAGE)
    assert ledger.written[-2:] == [(0, WORST, WORST), (PRICE, WORST, 0)]
    assert (cost.cost_usd, cost.maybe_usd) == (dollars(PRICE), dollars(WORST))


def test_a_refused_try_costs_nothing_and_lost_ones_alone_have_no_known_price() -> None:
    refused, lost = called(one()), called(one())
    refused.failed(REFUSAL)
    lost.failed(SILENCE)
    assert (refused.cost_usd, refused.maybe_usd) == (0.0, 0.0)
    assert (lost.cost_usd, lost.maybe_usd) == (None, dollars(WORST))


@pytest.mark.parametrize("known_first", [True, False])
def test_one_reply_without_a_price_leaves_the_whole_dialogue_without(known_first: bool) -> None:
    ledger = Places()
    cost = called(one(ledger))
    for usage in [USAGE, {}] if known_first else [{}, USAGE]:
        cost.answered(usage)
        called(cost)
    cost.failed(REFUSAL)
    assert cost.cost_usd is None
    assert cost.maybe == PRICE + WORST
    assert ledger.written[-1] == (0, PRICE + WORST, 0)
    assert cost.budget is not None
    assert (cost.budget.spent, cost.budget.maybe, cost.budget.reserved) == (0, PRICE + WORST, 0)


def test_without_prices_calls_are_noted_and_cost_nothing_that_anybody_knows() -> None:
    ledger = Places()
    cost = called(cost_of(None, ledger))
    assert ledger.written == [(0, 0, 0)]
    cost.answered(USAGE)
    called(cost).failed(SILENCE)
    assert (cost.cost_usd, cost.maybe_usd, list(ledger.of)) == (None, 0.0, [7])


@pytest.mark.parametrize("budget", [Budget(HAIKU), None])
def test_a_dialogue_of_which_nothing_can_have_been_billed_keeps_no_place(budget: Budget | None) -> None:
    ledger = Places()
    cost = called(cost_of(budget, ledger))
    cost.failed(REFUSAL)
    assert ledger.places == {}
    called(cost).failed(SILENCE)
    called(cost).failed(REFUSAL)
    assert list(ledger.of) == [7]


async def test_close_to_the_cap_a_call_waits_for_those_in_flight() -> None:
    budget = Budget(HAIKU, cap_usd=1.5 * WORST / PICO)
    first, second = called(cost_of(budget)), cost_of(budget)
    never = anyio.Event()
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            assert await second.wait_for_room(REQUEST, give_up=never)

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert (second.hold, budget.waiting) == (0, 1)
        first.answered(USAGE)
    assert (second.hold, budget.waiting, budget.spent) == (WORST, 0, PRICE)


async def test_a_wait_for_room_can_be_given_up() -> None:
    budget = Budget(HAIKU, cap_usd=1.5 * WORST / PICO)
    first, second = called(cost_of(budget)), cost_of(budget)
    give_up = anyio.Event()
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            assert not await second.wait_for_room(REQUEST, give_up=give_up)

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        give_up.set()
        first.failed(SILENCE)
    assert second.hold == 0


async def test_without_a_call_in_flight_nothing_makes_room() -> None:
    with pytest.raises(BudgetReached, match="the cap"):
        await one(cap_usd=0.5 * WORST / PICO).wait_for_room(REQUEST, give_up=anyio.Event())
