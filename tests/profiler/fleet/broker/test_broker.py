"""The broker as a machine over messages and moments: no socket, no clock."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.fleet.broker.broker import ALONE_S, LEASE_S, MARGIN_S, Broker
from profiler.fleet.broker.messages import Amounts, Event, MoneyUse, Renewal, SeenLimit
from profiler.fleet.broker.settings import BrokerSettings
from profiler.manifest.settings import RateLimits

MANY = Amounts(requests=1e6, input_tokens=1e9, output_tokens=1e9)


def broker(*, workers: int = 4, concurrency: int = 16, per_minute: int | None = None, answered: bool = True) -> Broker:
    limits = None if per_minute is None else RateLimits(requests_per_minute=per_minute)
    settings = BrokerSettings(
        workers=workers, concurrency=concurrency, rate_limits=limits, cap=1000, answered_before=answered
    )
    return Broker(settings, now=0.0)


def says(who: str, seq: int, **more: object) -> Renewal:
    return msgspec.structs.replace(Renewal(who=who, seq=seq, want=MANY, want_slots=100), **more)


def refusal(kind: str = "invalid_request", status: int = 400) -> Event:
    return Event(of="call", kind=kind, message="no such model", status=status)


def test_a_message_that_comes_twice_gets_the_same_answer_and_counts_once() -> None:
    machine = broker(per_minute=600)
    machine.renew(says("a", 1), now=0.0)
    failed = Event(of="call", kind="rate_limited", message="slow", status=429, retryable=True, retry_after_s=3.0)
    message = says("a", 2, used=Amounts(requests=5), events=(failed,), answered=4, money=MoneyUse(more=500, least=10))

    first, again, late = (machine.renew(message, now=moment) for moment in (1.0, 1.5, 2.0))

    assert first == again == late
    assert first.requests is not None
    assert machine.purse is not None
    assert machine.purse.accounts["a"].granted == first.money
    assert machine.renew(says("a", 3, used=Amounts(requests=5)), now=2.0).pause_s == pytest.approx(2.0)


class Net:
    """Workers that use what they were lent, over a network that loses, doubles and delays; `sent` is what has left."""

    def __init__(self, workers: int) -> None:
        self.used = dict.fromkeys(range(workers), 0.0)
        self.left = dict.fromkeys(range(workers), 0.0)
        self.ends_at = dict.fromkeys(range(workers), 0.0)
        self.seq = dict.fromkeys(range(workers), 0)

    def use(self, who: int, share: float, *, now: float) -> None:
        amount = share * self.left[who] if now < self.ends_at[who] else 0.0
        self.left[who] -= amount
        self.used[who] += amount


@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.floats(0.01, 3.0),
            st.floats(0.0, 1.0),
            st.sampled_from(["answered", "answer lost", "silent"]),
            st.integers(0, 5),
        ),
        max_size=60,
    )
)
def test_never_more_is_lent_than_the_limit_allows(steps: list[tuple[int, float, float, str, int]]) -> None:
    per_minute = 120
    machine, net, now = broker(per_minute=per_minute), Net(4), 0.0
    old: list[Renewal] = []
    for who, seconds, share, what, again in steps:
        now += seconds
        net.use(who, share, now=now)
        for each in machine.overdue(now):
            machine.end(each, billed=None)
            net.left[int(each[1:])] = net.ends_at[int(each[1:])] = 0.0
        if what == "silent":
            continue
        if again < len(old):  # an old one comes late
            machine.renew(old[again], now=now)
        net.seq[who] += 1
        message = says(f"w{who}", net.seq[who], used=Amounts(requests=net.used[who]))
        old = [message, *old]
        lease = machine.renew(message, now=now)
        if what == "answered" and not lease.lost:
            net.left[who], net.ends_at[who] = lease.requests or 0.0, now + lease.expires_s

        assert sum(net.used.values()) <= per_minute + now * per_minute / 60 + 1e-6


def test_what_is_not_used_is_there_for_the_others() -> None:
    machine = broker(workers=2, per_minute=600)
    taken = machine.renew(says("a", 1), now=0.0).requests
    assert taken is not None
    assert taken > 500

    machine.renew(says("a", 2, want=Amounts(), want_slots=0), now=0.1)

    lent = machine.renew(says("b", 1), now=0.2).requests
    assert lent is not None
    assert lent > 500


def test_slots_that_a_worker_has_not_heard_it_must_give_back_are_lent_to_nobody() -> None:
    machine = broker(workers=2, concurrency=8)

    def lent(who: str, seq: int, in_flight: int) -> int:
        return machine.renew(says(who, seq, in_flight=Amounts(requests=in_flight)), now=seq / 10).slots

    assert (lent("a", 1, 0), lent("b", 1, 0)) == (8, 0)
    assert lent("a", 2, 3) == 4
    assert lent("b", 2, 0) == 0  # by the time that it hears of it, eight calls of the other may have left
    assert lent("a", 3, 8) == 4
    assert lent("b", 3, 0) == 0
    assert lent("a", 4, 4) == 4
    assert lent("b", 4, 0) == 4


def test_all_slots_together_never_pass_the_limit_and_move_to_who_has_use_for_them() -> None:
    machine = broker(workers=2, concurrency=16)
    lent = {"a": 0, "b": 0}
    for moment in range(1, 60):
        for who, want in (("a", 100 if moment < 30 else 2), ("b", 100)):
            lent[who] = machine.renew(
                says(who, moment, want_slots=want, saturated=True, answered=20, in_flight=Amounts(requests=lent[who])),
                now=moment / 10,
            ).slots
            assert sum(lent.values()) <= 16
        if moment == 29:
            assert lent == {"a": 8, "b": 8}

    assert lent == {"a": 2, "b": 14}


def test_the_refusal_of_one_is_the_pause_of_all() -> None:
    machine = broker()
    for who in "ab":
        machine.renew(says(who, 1), now=0.0)
    asked = Event(
        of="call", kind="rate_limited", message="slow", status=429, retryable=True, retry_after_s=9.0, ago_s=0.1
    )

    machine.renew(says("a", 2, events=(asked,)), now=1.0)

    assert machine.renew(says("b", 2), now=2.0).pause_s == pytest.approx(8.0)


def test_overload_of_one_takes_slots_from_all() -> None:
    machine = broker(concurrency=8)
    slots = [machine.renew(says(who, 1), now=0.0).slots for who in "abcd"]
    assert sum(slots) == 8
    overload = Event(of="call", kind="overloaded", message="busy", status=529, retryable=True)

    machine.renew(says("a", 2, events=(overload,) * 12), now=1.0)

    assert sum(machine.renew(says(who, 3), now=1.1).slots for who in "abcd") <= 4


def test_calls_that_are_all_refused_stop_everybody_once_for_all_of_them() -> None:
    machine = broker(answered=False)
    for who in "ab":
        machine.renew(says(who, 1), now=0.0)

    assert machine.renew(says("a", 2, events=(refusal(),) * 3, undecided=True), now=1.0).stop is None
    assert machine.renew(says("b", 2, events=(refusal(),) * 2), now=1.1).stop is None
    stop = machine.renew(says("a", 3), now=1.2).stop

    assert stop is not None
    assert "the first 5 calls were all refused: no such model" in stop.message
    assert machine.renew(says("b", 3), now=1.3).stop == stop


def test_an_answer_anywhere_means_that_refusals_are_about_their_dialogues() -> None:
    machine = broker(answered=False)
    machine.renew(says("b", 1, answered=1), now=0.0)

    lease = machine.renew(says("a", 1, events=(refusal(),) * 9), now=1.0)

    assert (lease.stop, lease.answered_any) == (None, True)


def test_a_limit_that_only_a_header_names_holds_for_all() -> None:
    machine = broker(workers=2)
    assert machine.renew(says("a", 1), now=0.0).requests is None

    machine.renew(
        says("a", 2, used=Amounts(requests=10), headers={"requests": SeenLimit(limit=60, remaining=50, age_s=0.0)}),
        now=1.0,
    )
    lease = machine.renew(says("b", 1), now=1.0)

    assert lease.per_minute == {"requests": 60}
    assert lease.requests is not None
    assert lease.requests <= 50


def test_refusals_of_calls_that_left_before_everybody_heard_of_a_slower_pace_slow_nobody_down_further() -> None:
    machine = broker(workers=2)
    seq = dict.fromkeys("ab", 0)
    refused = Event(of="call", kind="rate_limited", message="slow", status=429, retryable=True, unexplained=True)

    def pace_after(who: str, now: float, *, ago_s: float | None = None) -> float | None:
        """Of a worker that has had ten answers and, where it says how long ago that call has left, a refusal."""
        seq[who] += 1
        events = () if ago_s is None else (msgspec.structs.replace(refused, ago_s=ago_s, answered_before=10),)
        used = Amounts(requests=11.0 * seq[who])
        return machine.renew(says(who, seq[who], used=used, events=events), now=now).per_minute.get("requests")

    for moment in (0.0, 1.0, 2.0):
        assert [pace_after(who, moment) for who in "ab"] == [None, None]
    assert pace_after("a", 3.0, ago_s=0.1) is None
    pace = pace_after("a", 3.5, ago_s=0.1)
    assert pace is not None

    assert pace_after("b", 4.0, ago_s=0.3) == pytest.approx(pace, rel=0.2)  # it has not heard of that pace before
    before = pace_after("b", 5.0)
    assert before is not None
    now = pace_after("b", 6.0, ago_s=0.3)
    assert now is not None
    assert now < 0.9 * before


def test_a_worker_that_was_given_up_is_told_so_and_has_nothing() -> None:
    machine = broker(per_minute=600)
    machine.renew(says("a", 1, money=MoneyUse(more=100, least=10)), now=0.0)
    assert machine.overdue(LEASE_S + MARGIN_S - 0.1) == []
    assert machine.overdue(LEASE_S + MARGIN_S) == ["a"]

    machine.end("a", billed=40, dead=False)
    lease = machine.renew(says("a", 2), now=10.0)

    assert lease.lost
    assert (lease.requests, lease.slots, lease.money, lease.expires_s) == (None, 0, 0, 0.0)
    assert machine.purse is not None
    assert machine.purse.gone == 40


def test_what_a_worker_that_leaves_has_spent_stays_spent_and_the_rest_is_free() -> None:
    machine = broker(workers=2)
    for who in "ab":
        machine.renew(says(who, 1, money=MoneyUse(more=400, least=10)), now=0.0)
    assert machine.purse is not None
    lent_to_b = machine.purse.accounts["b"].granted

    machine.renew(says("a", 2, money=MoneyUse(billed=150, bound=400), leaves=True), now=1.0)
    assert (machine.purse.gone, machine.purse.free) == (150, 850 - lent_to_b)

    machine.renew(says("b", 2, leaves=True), now=1.0)  # it does not say
    assert machine.purse.gone == 150 + lent_to_b


def test_who_keeps_no_cap_is_lent_nothing_under_one() -> None:
    assert broker().renew(says("a", 1), now=0.0).money == 0


def test_a_worker_out_of_reach_may_use_its_even_share_so_the_others_get_less() -> None:
    def lent(*, dead: bool) -> float:
        machine = broker(workers=2, per_minute=600)
        used = 0.0
        machine.renew(says("a", 1), now=0.0)
        machine.renew(says("b", 1), now=0.0)
        machine.end("a", billed=None, dead=dead)
        for seq in range(2, 100):
            used += machine.renew(says("b", seq, used=Amounts(requests=used)), now=float(seq)).requests or 0.0
        return used

    alone, both = lent(dead=True), lent(dead=False)

    assert alone - both == pytest.approx(300 * 98 / 60, rel=0.1)
    assert ALONE_S > 98


def test_a_new_broker_counts_nothing_again_and_lends_nothing_that_the_old_one_may_have() -> None:
    machine = broker(per_minute=600)
    machine.renew(says("a", 40, money=MoneyUse(more=100, least=10)), now=0.0)
    assert machine.purse is not None
    granted = machine.purse.accounts["a"].granted

    new = broker(per_minute=600)
    assert new.purse is not None
    new.purse.take_up(machine.purse.changes)
    new.take_up(now=0.0)
    lease = new.renew(says("a", 41, used=Amounts(requests=5000.0), money=MoneyUse(bound=granted)), now=1.0)

    assert lease.money == granted
    assert lease.requests is not None
    assert 0 < lease.requests <= 10
