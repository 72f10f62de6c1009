"""The cap against a provider that keeps the bill itself, over random prices, latencies, faults, turns and kills.

A kill drops everything that is in memory; what is left are the lines of the journal and the places of the ledger, as a
killed process leaves them. The oracle is the provider: it charges what it likes within the bounds of a request, also for
calls that nobody ever got a reply to.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.errors import BudgetReached, CallError
from profiler.core.nouns import Params, Record, Reply, Request
from profiler.engine.calls import attempt
from profiler.engine.calls.attempt import AttemptMachine
from profiler.engine.calls.pool import Pool
from profiler.engine.slots import Slots
from profiler.manifest.settings import Retry
from profiler.money.budget import Budget
from profiler.money.prices import RateCard, Rates, Tariff, cost, dollars, pico
from profiler.provider.requests import Planner
from profiler.provider.validate import Checked
from tests.profiler.building import dialogue

if TYPE_CHECKING:
    from collections.abc import Iterator

PARAMS = Params(model="m", max_tokens=50)
REFUSALS = (429, 500, 529)
HOW = ("answer", "answer", "answer", "answer", "odd", "refuse", "bad", "lost", "unsent")


class Disk:
    """What outlives a kill: the records of the journal, the places of the ledger, and what is carried from sessions
    before."""

    def __init__(self) -> None:
        self.journal: list[Record] = []
        self.places: dict[int, tuple[int, int, int]] = {}
        self.carried = 0

    @property
    def done(self) -> set[int]:
        return {record.index for record in self.journal}

    @property
    def money(self) -> tuple[int, int]:
        """What was spent and what may have been, as a session finds it that begins now."""
        spent = sum(pico(record.cost_usd or 0.0) for record in self.journal)
        maybe = sum(pico(record.maybe_usd) for record in self.journal if record.maybe_usd is not msgspec.UNSET)
        return spent, maybe + self.carried + sum(sum(place) for place in self.places.values())

    def take_up(self) -> tuple[int, int]:
        money = self.money
        self.carried += sum(sum(place) for place in self.places.values())
        self.places.clear()
        return money


class Session:
    """Stands where the writer and the ledger stand. After a kill it writes nothing any more."""

    full = False

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.queue: list[Record] = []
        self.dead = False

    def put(self, record: Record) -> None:
        self.queue.append(record)

    def flush(self) -> None:
        """A record is in the journal some time after it was put, and its place is free only then."""
        if not self.dead:
            for record in self.queue:
                self.disk.journal.append(record)
                self.disk.places.pop(record.index, None)
            self.queue.clear()

    def enter(self, index: int, *, hold: int) -> int:
        assert self.dead or index not in self.disk.places
        self.write(index, paid=0, maybe=0, hold=hold)
        return index

    def leave(self, index: int) -> None:
        if not self.dead:
            assert self.disk.places.pop(index)[:2] == (0, 0)

    def write(self, place: int, *, paid: int, maybe: int, hold: int) -> None:
        if not self.dead:
            self.disk.places[place] = (paid, maybe, hold)


class Provider:
    """Keeps the bill, and how much more the run has to reckon with: it cannot know what became of some calls."""

    def __init__(self, card: RateCard, *, cap: int, chance: random.Random, disk: Disk) -> None:
        self.card = card
        self.cap = cap
        self.chance = chance
        self.disk = disk
        self.worst = Budget(card).worst
        self.billed = 0
        self.known = 0  # prices that the run was told
        self.unknown = 0  # worst cases of calls whose price it was never told, but that may have been billed
        self.in_flight: dict[int, Request] = {}
        self.session: Session
        self.scope: anyio.CancelScope
        self.kill_in = -1

    def usage(self, request: Request) -> dict[str, Any]:
        share = self.chance.random() ** 3
        used = {"input_tokens": int(len(request.body) * share), "output_tokens": int(PARAMS.max_tokens * share)}
        return {**used, "inference_geo": "us"} if self.chance.random() < 0.1 else used

    def bill(self, request: Request) -> dict[str, Any]:
        usage = self.usage(request)
        self.billed += cost(self.card, usage) or 0
        assert self.billed <= self.cap
        return usage

    def kill(self) -> None:
        self.session.dead = True
        self.scope.cancel()
        for request in self.in_flight.values():
            self.unknown += self.worst(request)
            if self.chance.random() < 0.7:
                self.bill(request)

    async def moment(self) -> None:
        """Time passes; whatever happens in it, the disk knows enough."""
        if self.chance.random() < 0.3:
            self.session.flush()
        spent, maybe = self.disk.money
        assert spent + maybe >= self.billed
        assert spent + maybe <= self.cap
        self.kill_in -= 1
        if self.kill_in == 0:
            self.kill()
        await self.alive()
        await anyio.lowlevel.checkpoint()

    async def alive(self) -> None:
        if self.session.dead:
            await anyio.sleep_forever()

    async def complete(self, request: Request) -> Reply:
        await self.alive()
        self.in_flight[request.index] = request
        for _ in range(self.chance.randrange(4)):
            await self.moment()
        await self.alive()
        del self.in_flight[request.index]
        return self.end(request)

    def end(self, request: Request) -> Reply:
        how = self.chance.choice(HOW)
        if how == "unsent":
            raise CallError("connection", "refused", retryable=True, sent=False)
        if how == "bad":
            raise CallError("invalid_request", "no", status=400)
        if how == "refuse":
            raise CallError("busy", "later", status=self.chance.choice(REFUSALS), retryable=True)
        usage = self.bill(request)
        if how == "answer":
            self.known += cost(self.card, usage) or 0
        else:
            self.unknown += self.worst(request)
        if how == "lost":
            raise CallError("connection", "reset", retryable=True)
        return Reply(completion="and so on", stop_reason="end_turn", model="m", usage=usage if how == "answer" else {})


async def session(provider: Provider, planner: Planner, *, turns: list[int], cap_usd: float, slots: int) -> None:
    """One process: takes up what the disk holds, and runs until it is killed, done or out of money."""
    disk = provider.disk
    spent, maybe = disk.take_up()
    budget = Budget(provider.card, cap_usd=cap_usd, spent=spent, maybe=maybe)
    provider.session = one = Session(disk)
    provider.in_flight.clear()
    machine = AttemptMachine(
        retry=Retry(max_attempts=3), timeout_s=60, planner=planner, budget=budget, ledger=one, times="none"
    )
    pool = Pool(client=Checked(provider), writer=one, slots=Slots(slots), machine=machine)  # type: ignore[arg-type]
    done = disk.done

    def owed() -> Iterator[Request]:
        for index, count in enumerate(turns):
            if index not in done:
                texts = tuple(f"{'long ' * index}turn {turn}" for turn in range(count))
                yield planner.request(index, dialogue(index, turns=texts))

    with anyio.CancelScope() as provider.scope:
        try:
            await pool.run(owed())
            one.flush()
            assert disk.done == set(range(len(turns)))
        except BudgetReached:
            refused = budget.wanted - budget.committed  # the worst case of the call that was not made
            assert budget.cap is not None
            assert budget.cap - budget.committed < refused
    one.flush()
    if not one.dead:
        assert sum(disk.money) == budget.committed


@settings(max_examples=150, deadline=None)
@given(
    rates=st.tuples(st.integers(0, 10**7), st.integers(1, 10**7)),
    turns=st.lists(st.integers(1, 4), min_size=1, max_size=12),
    calls=st.floats(0.5, 30),
    slots=st.integers(1, 6),
    kills=st.lists(st.integers(1, 40), max_size=5),
    seed=st.integers(0, 2**32),
)
async def test_the_bill_never_passes_the_cap_and_the_cap_is_used(
    rates: tuple[int, int], turns: list[int], calls: float, slots: int, kills: list[int], seed: int
) -> None:
    base = Rates(input=rates[0], output=rates[1])
    card = RateCard(model="m", priced_as="m", source="test", day=None, standard=Tariff(base=base))
    planner = Planner(PARAMS)
    typical = Budget(card).worst(planner.request(0, dialogue(0, turns=("long " * 6,))))
    cap_usd = dollars(int(typical * calls) + 1)
    disk = Disk()
    provider = Provider(card, cap=pico(cap_usd), chance=random.Random(seed), disk=disk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempt, "FIRST_WAIT_S", 1e-9)
        for kill_in in [*kills, -1]:
            provider.kill_in = kill_in
            await session(provider, planner, turns=turns, cap_usd=cap_usd, slots=slots)
            spent, maybe = disk.money
            assert provider.billed <= spent + maybe <= provider.cap
            # calls of which nobody knows what became count at their worst case, and nothing does that was only possible
            assert spent + maybe == provider.known + provider.unknown
