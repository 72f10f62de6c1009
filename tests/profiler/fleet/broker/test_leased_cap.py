"""The money of a worker: what it may set aside, what it gives back, and when it gives up."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from profiler.core.errors import BudgetReached
from profiler.fleet.broker.leased_cap import LeasedCap
from profiler.money.budget import Budget
from profiler.money.price_list import look_up
from profiler.provider.requests import Planner
from tests.profiler.building import PARAMS, dialogue

WHOLE = 10**12
[REQUEST] = Planner(PARAMS).plan(iter([dialogue(0)]))


class Bench:
    def __init__(self) -> None:
        self.asked = 0
        self.cap = LeasedCap(self._ask)
        self.budget = self.new_budget()

    def _ask(self) -> None:
        self.asked += 1

    def new_budget(self) -> Budget:
        card = look_up("claude-haiku-4-5", at=datetime.now(UTC))
        assert card is not None
        return Budget(card, within=self.cap)

    def renew(self, bound: int, *, seconds: float = 5.0, may_come: bool = True) -> None:
        told = self.cap.use(slots=4)
        self.cap.lend(max(bound, told.bound), told=told, may_come=may_come, ends_at=time.monotonic() + seconds)


def test_nothing_is_set_aside_before_the_broker_knows_the_folder_or_when_the_lease_is_over() -> None:
    bench = Bench()
    bench.renew(WHOLE)
    bench.cap.begin("attempts/0", bench.budget)
    assert bench.budget.reserve(REQUEST) is None
    assert bench.asked == 1

    bench.renew(WHOLE)
    assert bench.budget.reserve(REQUEST)

    bench.renew(WHOLE, seconds=0.0)
    assert bench.budget.reserve(REQUEST) is None


def test_a_broker_that_knows_of_no_loan_is_obeyed() -> None:
    bench = Bench()
    bench.cap.begin("attempts/0", bench.budget)
    bench.renew(WHOLE)
    assert bench.budget.reserve(REQUEST)

    told = bench.cap.use(slots=4)
    bench.cap.lend(0, told=told, may_come=True, ends_at=time.monotonic() + 5)

    assert bench.budget.reserve(REQUEST) is None


def test_what_is_told_of_each_folder_and_of_those_before_adds_up() -> None:
    bench = Bench()
    other = bench.new_budget()
    bench.cap.begin("attempts/0", bench.budget)
    bench.cap.begin("attempts/9", other)
    bench.renew(WHOLE)
    usage = {"input_tokens": 100, "output_tokens": 10}
    for budget in (bench.budget, other):
        hold = budget.reserve(REQUEST)
        assert hold is not None
        budget.settle(hold, usage)

    bench.cap.end("attempts/0")
    told = bench.cap.use(slots=4)

    assert told.candidates == {"attempts/9": 0}
    assert told.before == bench.budget.spent
    assert told.billed == bench.budget.spent + other.spent


def test_a_worker_that_was_given_up_counts_from_zero_what_its_folders_told_before() -> None:
    bench = Bench()
    bench.cap.begin("attempts/0", bench.budget)
    bench.renew(WHOLE)
    hold = bench.budget.reserve(REQUEST)
    assert hold is not None
    bench.budget.keep(hold)

    bench.cap.lose()
    told = bench.cap.use(slots=4)

    assert (told.billed, told.bound, told.before, told.candidates) == (0, 0, 0, {"attempts/0": hold})
    assert bench.budget.reserve(REQUEST) is None


def test_calls_in_flight_of_a_worker_that_was_given_up_are_no_bound_for_new_ones() -> None:
    bench = Bench()
    bench.cap.begin("attempts/0", bench.budget)
    bench.renew(WHOLE)
    hold = bench.budget.reserve(REQUEST)
    assert hold is not None

    bench.cap.lose()
    told = bench.cap.use(slots=4)

    assert (bench.budget.reserved, told.bound) == (hold, 0)


def test_who_wanted_nothing_more_has_not_been_refused_anything() -> None:
    bench = Bench()
    bench.cap.begin("attempts/0", bench.budget)
    bench.renew(WHOLE)
    assert bench.budget.reserve(REQUEST)
    bench.renew(0, may_come=False)  # it keeps what it has use for, and gives the rest back

    while bench.budget.reserve(REQUEST):
        pass

    assert bench.cap.may_grow


def test_scraps_go_back_when_no_call_in_flight_could_add_to_them() -> None:
    bench = Bench()
    bench.cap.begin("attempts/0", bench.budget)
    bench.renew(WHOLE)
    least = bench.budget.worst(REQUEST)
    bench.cap.cap = least + least // 2
    hold = bench.budget.reserve(REQUEST)
    assert hold is not None
    assert bench.budget.reserve(REQUEST) is None

    assert bench.cap.use(slots=4).bound == least + least // 2
    bench.budget.keep(hold)

    assert bench.cap.use(slots=4).bound == least


async def test_the_run_ends_at_the_cap_only_when_the_broker_has_said_so() -> None:
    bench = Bench()
    bench.cap.begin("attempts/0", bench.budget)
    bench.renew(0)
    assert bench.budget.reserve(REQUEST) is None
    assert bench.cap.may_grow

    bench.renew(0, may_come=False)

    with pytest.raises(BudgetReached, match="nothing is left to be shared out"):
        await bench.budget.room_for(REQUEST)
