"""The purse over loss, doubling and reordering of messages, over workers and brokers that are killed: whatever happens, what
the workers have spent, or may have, is within the cap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from profiler.fleet.broker.broker import LEASE_S, Broker
from profiler.fleet.broker.messages import MoneyUse, Renewal
from profiler.fleet.broker.purse import MoneyLine, Purse
from profiler.fleet.broker.settings import BrokerSettings
from tests.profiler.fleet.broker.money_storm import CALL, MoneyStorm

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.fleet.broker.messages import Lease

CAP = 1000
STORMS, STEPS, CAP_OF_CALLS = 12, 1_000, 30
NUMBERS = st.integers(0, 3)
SOON_S = 0.3


class Spender:
    """A worker as the protocol wants it: what it spends stays within the bound that it told or was told, and nothing is
    spent when the lease is over. What it has spent is never forgotten: it is on the bill."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.seq = 0
        self.bound = self.billed = self.held = 0
        self.ends_at = -1.0
        self.waiting: tuple[Renewal, float] | None = None  # the message that has no answer yet, and when it was written
        self.alive = True

    def spend(self, hold: int, price: int, *, now: float) -> None:
        if self.alive and now < self.ends_at and self.billed + self.held + hold <= self.bound:
            self.held += hold
            if price <= hold:  # else the call goes on
                self.held -= hold
                self.billed += price

    def write(self, *, keep: int, more: int, now: float) -> Renewal:
        if self.waiting is None:
            self.seq += 1
            self.bound = min(self.bound, self.billed + self.held + keep)
            use = MoneyUse(billed=self.billed, bound=self.bound, more=more, least=min(more, 7))
            self.waiting = Renewal(who=self.who, seq=self.seq, money=use), now
        return self.waiting[0]

    def read(self, lease: Lease) -> None:
        if not self.alive or self.waiting is None or lease.seq != self.waiting[0].seq:
            return
        written_at, self.waiting = self.waiting[1], None
        if lease.lost:
            self.bound = self.ends_at = 0
            self.alive = False  # it would go on under another name, as a worker of its own
        else:
            assert lease.money is not None
            self.bound, self.ends_at = lease.money, written_at + lease.expires_s


class Storm(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.disk: list[MoneyLine] = []
        self.broker = self.new_broker()
        self.workers = [Spender(f"w{number}") for number in range(4)]
        self.everybody = list(self.workers)
        self.on_the_way: list[Renewal] = []
        self.answers: list[tuple[str, Lease]] = []

    def new_broker(self) -> Broker:
        broker = Broker(BrokerSettings(workers=4, concurrency=8, cap=CAP), now=self.now)
        assert broker.purse is not None
        if self.disk:
            broker.purse.take_up(self.disk)
            broker.take_up(now=self.now)
        return broker

    @property
    def purse(self) -> Purse:
        assert self.broker.purse is not None
        return self.broker.purse

    def save(self) -> None:
        self.disk += self.purse.changes
        self.purse.changes = []

    @rule(number=NUMBERS, keep=st.integers(0, 50), more=st.integers(0, 400), sent=st.integers(0, 3))
    def a_message_is_sent_perhaps_several_times(self, number: int, keep: int, more: int, sent: int) -> None:
        worker = self.workers[number]
        if worker.alive:
            self.on_the_way += [worker.write(keep=keep, more=more, now=self.now)] * sent

    @rule(place=st.integers(0, 30), again=st.booleans())
    def a_message_arrives_in_any_order(self, place: int, again: bool) -> None:
        if self.on_the_way:
            place %= len(self.on_the_way)
            message = self.on_the_way[place] if again else self.on_the_way.pop(place)
            answer = self.broker.renew(message, now=self.now)
            self.save()
            self.answers.append((message.who, answer))

    @rule(place=st.integers(0, 30), lost=st.booleans())
    def an_answer_arrives_or_is_lost(self, place: int, lost: bool) -> None:
        if self.answers:
            who, lease = self.answers.pop(place % len(self.answers))
            if not lost:
                next(each for each in self.everybody if each.who == who).read(lease)

    @rule(number=NUMBERS, hold=st.integers(1, 60), price=st.integers(0, 90))
    def a_worker_spends(self, number: int, hold: int, price: int) -> None:
        self.workers[number].spend(hold, price, now=self.now)

    @rule(number=NUMBERS, seen=st.booleans(), readable=st.booleans())
    def a_worker_is_killed_and_another_comes(self, number: int, seen: bool, readable: bool) -> None:
        worker = self.workers[number]
        worker.alive = False
        if seen:
            self.give_up(worker.who, readable=readable)
        self.workers[number] = Spender(f"{worker.who}'")
        self.everybody.append(self.workers[number])

    @rule(seconds=st.sampled_from([SOON_S, 1.0, LEASE_S / 2, LEASE_S + 2]), readable=st.booleans())
    def time_passes_and_the_overdue_are_given_up(self, seconds: float, readable: bool) -> None:
        self.now += seconds
        for who in self.broker.overdue(self.now):
            self.give_up(who, readable=readable)

    def give_up(self, who: str, *, readable: bool) -> None:
        worker = next(each for each in self.everybody if each.who == who)
        self.broker.end(who, billed=worker.billed + worker.held if readable else None)
        self.save()

    @rule()
    def the_broker_is_killed_and_replaced(self) -> None:
        self.broker = self.new_broker()

    @invariant()
    def what_is_spent_and_what_could_be_at_once_is_within_the_cap(self) -> None:
        if hasattr(self, "everybody"):
            assert sum(self.most(each) for each in self.everybody) <= CAP - self.purse.free <= CAP

    def most(self, worker: Spender) -> int:
        """The most that a worker may have spent before anything else happens but the arrival of answers."""
        bounds = [worker.billed + worker.held]
        if worker.alive and self.now < worker.ends_at:
            bounds.append(worker.bound)
        if worker.alive and worker.waiting is not None:
            message, written_at = worker.waiting
            bounds += [
                lease.money or 0
                for who, lease in self.answers
                if who == worker.who and lease.seq == message.seq and self.now < written_at + lease.expires_s
            ]
        return max(bounds)


Storm.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestStorm = Storm.TestCase


@pytest.mark.parametrize("readable", [1.0, 0.7])
def test_the_bill_of_the_provider_never_passes_the_cap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readable: float
) -> None:
    most = 0.0
    for seed in range(STORMS):
        root = tmp_path / f"{seed}"
        storm = MoneyStorm(root, seed=seed, cap=CAP_OF_CALLS * CALL, readable=readable, silent_s=7, patched=monkeypatch)
        for _ in range(STEPS):
            storm.step()
        assert storm.told <= storm.written_off()
        most = max(most, storm.bill / storm.cap_of_all)
    assert most > 0.4


def test_what_the_dead_have_not_spent_is_lent_again_to_the_last_cent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where messages arrive and folders can be read, nothing is written off but what they tell."""
    for seed in range(STORMS):
        root = tmp_path / f"{seed}"
        storm = MoneyStorm(root, seed=seed, cap=CAP_OF_CALLS * CALL, readable=1.0, silent_s=3, patched=monkeypatch)
        for _ in range(STEPS // 4):
            storm.talk()
            storm.step()
        assert storm.told == storm.written_off()


def test_a_worker_may_give_back_and_never_take_by_itself() -> None:
    purse = Purse(1000)
    assert purse.renew("a", MoneyUse(bound=700), seq=1) == 0
    purse.renew("a", MoneyUse(more=400, least=10), seq=2)
    assert purse.renew("a", MoneyUse(bound=900), seq=3) == 400
    assert purse.renew("a", MoneyUse(bound=300), seq=4) == 300
    assert purse.free == 700


def test_an_old_message_gives_nothing_back() -> None:
    """It comes late to a broker that has replaced another, and knows no more than what is on disk."""
    purse = Purse(1000)
    purse.renew("a", MoneyUse(more=100, least=10), seq=1)
    purse.renew("a", MoneyUse(bound=100, more=300, least=10), seq=2)
    again = Purse(1000)
    again.take_up(purse.changes)

    for seq in (1, 2):
        assert again.renew("a", MoneyUse(more=0), seq=seq) == 400
    assert again.renew("a", MoneyUse(bound=50), seq=3) == 50
    assert again.renew("a", MoneyUse(), seq=1) == 50


def test_an_answer_that_was_dearer_than_its_worst_case_leaves_less_for_others() -> None:
    purse = Purse(1000)
    purse.renew("a", MoneyUse(more=100, least=10), seq=1)

    purse.renew("a", MoneyUse(bound=100, billed=250), seq=2)

    assert purse.free == 750


def test_all_of_the_cap_can_be_spent_and_then_nobody_is_told_to_wait() -> None:
    purse = Purse(100)
    assert purse.renew("a", MoneyUse(more=100, least=10), seq=1) == 50
    assert purse.renew("b", MoneyUse(more=100, least=10), seq=1) == 12
    assert purse.renew("a", MoneyUse(billed=20, bound=50, more=200, least=30), seq=2) == 80
    assert purse.may_come("b")

    purse.renew("a", MoneyUse(billed=80, bound=80), seq=3)

    assert purse.renew("b", MoneyUse(billed=12, bound=12, more=20, least=9), seq=2) == 12
    assert not purse.may_come("b")
    assert purse.free == 8
    purse.renew("b", MoneyUse(billed=5, bound=12, least=9), seq=3)
    assert not purse.may_come("b")  # of its own rest it knows itself
    assert purse.may_come("a")


def test_what_a_lost_worker_has_not_spent_comes_back_and_where_nobody_can_tell_nothing_does() -> None:
    purse = Purse(100)
    for who in "ab":
        purse.renew(who, MoneyUse(more=40, least=40), seq=1)

    purse.settle("a", 15)
    purse.settle("b", None)

    assert (purse.gone, purse.free) == (55, 45)


def test_the_last_call_that_the_cap_has_room_for_gets_it() -> None:
    assert Purse(100).renew("a", MoneyUse(more=100, least=100), seq=1) == 100


def test_who_is_told_to_wait_waits_for_somebody() -> None:
    machine = Broker(BrokerSettings(workers=2, concurrency=8, cap=100), now=0.0)

    def lease(who: str, seq: int, **use: Any) -> Lease:
        return machine.renew(Renewal(who=who, seq=seq, money=MoneyUse(**use)), now=0.0)

    assert lease("a", 1, more=100, least=60).money_may_come  # it has come
    assert lease("b", 1, more=50, least=50).money_may_come  # what the other has not used may come back
    lease("a", 2, billed=60, bound=60)
    assert not lease("b", 2, more=50, least=50).money_may_come


def test_every_message_that_could_be_mistaken_for_news_later_is_on_disk() -> None:
    purse = Purse(1000)
    purse.renew("a", MoneyUse(more=400, least=10), seq=1)
    purse.renew("a", MoneyUse(bound=300, more=100, least=10), seq=2)  # it gives back, and gets the same again
    assert [(line.seq, line.granted) for line in purse.changes] == [(1, 400), (2, 400)]

    purse.renew("a", MoneyUse(bound=400, candidates={"attempts/8.0": 0}), seq=3)  # from here on that folder tells
    assert purse.changes[-1].candidates == {"attempts/8.0": 0}

    purse.renew("a", MoneyUse(bound=400, candidates={"attempts/8.0": 0}), seq=4)
    assert len(purse.changes) == 3


def test_what_is_kept_on_disk_is_the_same_purse() -> None:
    purse = Purse(100, gone=5)
    purse.renew("a", MoneyUse(more=40, least=10, candidates={"attempts/0.1": 3}, before=2), seq=4)
    purse.renew("b", MoneyUse(more=40, least=10), seq=1)
    purse.settle("b", 7)

    again = Purse(100)
    again.take_up([MoneyLine(settled=5), *purse.changes])

    assert (again.gone, again.free, again.settled) == (purse.gone, purse.free, {"b"})
    kept = again.accounts["a"]
    assert msgspec.structs.astuple(kept) == (purse.accounts["a"].granted, 4, {"attempts/0.1": 3}, 2, 0)
