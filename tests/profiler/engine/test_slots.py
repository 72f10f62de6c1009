from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from profiler.engine.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Iterator


class Watched:
    """Slots, and how many hold one."""

    def __init__(self, limit: int) -> None:
        self.slots = Slots(limit)
        self.inside = 0
        self.most = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            yield
        finally:
            self.inside -= 1
            self.slots.give()


async def turns(number: int) -> None:
    for _ in range(number):
        await anyio.lowlevel.checkpoint()


def test_no_more_than_the_limit_are_taken() -> None:
    slots = Slots(2)
    assert [slots.take_nowait() for _ in range(3)] == [True, True, False]
    slots.give()
    assert slots.take_nowait()


async def test_a_free_slot_costs_no_turn_of_the_event_loop() -> None:
    slots = Slots(1)
    happened = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turns, 1)
        await slots.take()
        happened.append(slots.taken)
    assert happened == [1]


async def test_those_who_wait_go_first_and_in_turn() -> None:
    slots, served = Slots(1), list[int]()
    await slots.take()

    async def wait(number: int) -> None:
        await slots.take()
        served.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(wait, number)
            await turns(2)
        assert slots.wanted
        slots.give()
        assert not slots.take_nowait()
        await turns(3)
        assert served == [0]
        slots.give()
        slots.give()
    assert served == [0, 1, 2]
    assert (slots.taken, slots.wanted) == (1, False)


async def test_a_slot_handed_over_in_the_moment_of_a_cancellation_is_handed_on() -> None:
    slots, served = Slots(1), list[str]()
    await slots.take()
    scope = anyio.CancelScope()

    async def cancelled() -> None:
        with scope:
            await slots.take()
            served.append("cancelled")

    async def next_in_line() -> None:
        await slots.take()
        served.append("next")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancelled)
        await turns(2)
        tasks.start_soon(next_in_line)
        await turns(2)
        scope.cancel()
        slots.give()
    assert served == ["next"]
    assert slots.taken == 1


async def test_one_who_stops_waiting_is_forgotten() -> None:
    slots = Slots(1)
    await slots.take()
    with anyio.move_on_after(0):
        await slots.take()
    assert not slots.wanted
    slots.give()
    assert slots.taken == 0


async def test_more_slots_let_those_in_who_wait_and_fewer_are_felt_as_slots_come_back() -> None:
    slots, served = Slots(1), list[int]()
    await slots.take()

    async def wait(number: int) -> None:
        await slots.take()
        served.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(wait, number)
        await turns(3)
        slots.resize(3)
        await turns(3)
        assert (served, slots.taken) == ([0, 1], 3)
        slots.resize(1)
        slots.give()
        slots.give()
        await turns(3)
        assert (served, slots.taken) == ([0, 1], 1)
        slots.give()
        await turns(3)
        assert (served, slots.taken) == ([0, 1, 2], 1)
        slots.give()
    assert served == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(4))
async def test_no_schedule_of_takes_and_cancellations_leaks_or_doubles_a_slot(seed: int) -> None:
    chance = random.Random(seed)
    watched = Watched(limit := chance.randrange(1, 6))
    slots = watched.slots
    scopes: list[anyio.CancelScope] = []

    async def visit() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            if not (chance.random() < 0.3 and slots.take_nowait()):
                await slots.take()
            with watched.held():
                await turns(chance.randrange(4))

    async def disturb() -> None:
        while len(scopes) < 2_500:
            if scopes:
                scopes[chance.randrange(max(0, len(scopes) - 20), len(scopes))].cancel()
            await turns(1)

    async def visitors() -> None:
        for _ in range(250):
            await visit()

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(visitors)
        tasks.start_soon(disturb)
    assert len(scopes) == 2_500
    assert watched.most == limit
    assert (watched.inside, slots.taken, slots.wanted) == (0, 0, False)


# Slots within others


def test_what_lies_within_holds_to_both_limits() -> None:
    whole = Slots(3)
    one, other = Slots(2, within=whole), Slots(2, within=whole)

    assert [one.take_nowait() for _ in range(3)] == [True, True, False]
    assert [other.take_nowait() for _ in range(2)] == [True, False]
    assert (one.taken, other.taken, whole.taken) == (2, 1, 3)
    one.give()
    assert other.take_nowait()
    assert (one.free, other.free) == (False, False)


async def test_a_slot_that_comes_back_goes_to_who_waits_elsewhere_and_fits() -> None:
    whole = Slots(2)
    full, roomy = Slots(1, within=whole), Slots(2, within=whole)
    served: list[str] = []

    async def wait(slots: Slots, name: str) -> None:
        await slots.take()
        served.append(name)

    assert full.take_nowait()
    assert roomy.take_nowait()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, full, "full")
        await turns(2)
        tasks.start_soon(wait, roomy, "roomy")
        await turns(2)
        assert (full.wanted, roomy.wanted) == (True, True)
        roomy.give()  # the first in line has no room in its own
        await turns(2)
        assert served == ["roomy"]
        full.give()
    assert served == ["roomy", "full"]
    assert whole.taken == 2


async def test_slots_that_nobody_waits_for_are_offered_in_the_order_of_coming_until_they_are_taken() -> None:
    whole = Slots(1)
    one, other = Slots(1, within=whole), Slots(1, within=whole)
    asked: list[str] = []

    def taker(slots: Slots, name: str) -> bool:
        asked.append(name)
        return slots.take_nowait()

    assert one.take_nowait()
    with one.offered_to(lambda: taker(one, "one")), other.offered_to(lambda: taker(other, "other")):
        one.give()
        assert (asked, one.taken) == (["one"], 1)
        whole.resize(2)
        assert (asked, other.taken) == (["one", "one", "other"], 1)
    one.give()
    assert (asked, whole.taken) == (["one", "one", "other"], 1)


@pytest.mark.parametrize("seed", range(4))
async def test_no_schedule_over_nested_slots_leaks_or_passes_a_limit(seed: int) -> None:
    chance = random.Random(seed)
    whole = Slots(chance.randrange(2, 7))
    groups = [Slots(chance.randrange(1, 5), within=whole) for _ in range(2)]
    leaves = [Slots(chance.randrange(1, 4), within=group) for group in groups for _ in range(3)]
    everyone = [whole, *groups, *leaves]
    visits = 0

    async def visitors(slots: Slots) -> None:
        nonlocal visits
        for _ in range(120):
            with anyio.move_on_after(0 if chance.random() < 0.2 else 60):
                await slots.take()
                try:
                    assert all(each.taken <= each.limit for each in everyone)
                    await turns(chance.randrange(3))
                finally:
                    slots.give()
            visits += 1

    async with anyio.create_task_group() as tasks:
        for slots in leaves * 2:
            tasks.start_soon(visitors, slots)
    assert visits == 120 * len(leaves) * 2
    assert [(each.taken, each.wanted) for each in everyone] == [(0, False)] * len(everyone)


# A slot that others may have while its job cannot leave


async def test_while_a_job_waits_for_its_provider_others_have_its_slot_and_it_gets_the_next() -> None:
    places = Slots(1)
    held_up, other = Slots(1, within=places, lends=True), Slots(1, within=places, lends=True)
    allowed, happened = anyio.Event(), list[str]()

    async def wait() -> bool:
        await allowed.wait()
        happened.append("allowed")
        return True

    async def job() -> None:
        assert await held_up.lent_while(wait)
        happened.append("leaves")

    assert held_up.take_nowait()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(job)
        await turns(2)
        assert (held_up.lent, held_up.room) == (1, 0)  # no other job of this provider may come in its place
        assert other.take_nowait()
        allowed.set()
        await turns(3)
        assert happened == ["allowed"]
        assert other.wanted
        other.give()
    assert happened == ["allowed", "leaves"]
    assert (places.taken, held_up.taken, held_up.lent) == (1, 1, 0)


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_job_that_is_cancelled_while_its_slot_is_lent_still_gives_one_back(*, allowed: bool) -> None:
    places = Slots(1)
    held_up, other = Slots(1, within=places, lends=True), Slots(1, within=places, lends=True)

    async def wait() -> bool:
        await (anyio.lowlevel.checkpoint() if allowed else anyio.sleep_forever())
        return True

    async def job() -> None:
        try:
            await held_up.lent_while(wait)
        finally:
            held_up.give()

    assert held_up.take_nowait()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(job)
        await turns(1)
        assert other.take_nowait()
        await turns(2)
        assert bool(places.waiting) is allowed  # it wants its slot again, or cannot leave yet
        tasks.cancel_scope.cancel()
    other.give()
    assert (places.taken, held_up.taken, held_up.lent, places.line) == (0, 0, 0, [])


async def test_an_error_comes_out_when_the_slot_is_there_again() -> None:
    places = Slots(1)
    held_up = Slots(1, within=places, lends=True)
    assert held_up.take_nowait()

    async def late() -> bool:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await held_up.lent_while(late)
    assert (places.taken, held_up.lent) == (1, 0)
