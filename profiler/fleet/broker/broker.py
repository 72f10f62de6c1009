"""The broker: what it answers to each message. It has no clock, no socket and no file; whoever calls passes the time.

It is the one place where limits, pauses, calls at once, money and the provider's health are decided for all workers. A
message that comes twice gets the same answer, and nothing in it is counted twice.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from profiler.engine.limits.health import OVERLOADED, RATE_LIMITED, unheard
from profiler.fleet.broker.messages import RENEW_S, Lease, Stop
from profiler.fleet.broker.purse import Purse
from profiler.fleet.broker.shared_health import SharedHealth
from profiler.fleet.broker.shared_limits import SharedLimits

if TYPE_CHECKING:
    from profiler.fleet.broker.messages import Event, Renewal
    from profiler.fleet.broker.purse import Account
    from profiler.fleet.broker.settings import BrokerSettings

LEASE_S = 5.0  # a worker that does not renew sends nothing after this time
MARGIN_S = 1.0  # after it the broker waits so much longer before it takes for free what the worker held
ALONE_S = 300.0  # for so long after that a worker that is not known to have ended may go on with its even share


class Worker:
    def __init__(self) -> None:
        self.seq = 0
        self.answer: Lease | None = None
        self.ends_at = math.inf


class Broker:
    def __init__(self, settings: BrokerSettings, *, now: float, limits: SharedLimits | None = None) -> None:
        """`limits` are what is known of the provider from an experiment before this one."""
        self._settings = settings
        self._now = now
        if limits is None:
            limits = SharedLimits(settings, now=now)
        else:
            limits.go_on(settings, now=now)
        self.limits = limits
        self._rates, self._slots, self._pause = limits.rates, limits.slots, limits.pause
        self.purse = None if settings.cap is None else Purse(settings.cap, gone=settings.gone)
        self._health = SharedHealth(answered_before=limits.answered)
        self._workers: dict[str, Worker] = {}
        self._alone: dict[str, float] = {}  # workers out of reach, and until when they may go on by themselves
        self._given_up: set[str] = set()
        self.stop: Stop | None = None
        self._began = now
        if settings.replaces:
            self._inherit_slots()

    def take_up(self, *, now: float) -> None:
        """Go on where an earlier broker was killed; its purse has been taken up. Nobody knows what was used of the limits
        just before, and workers may hold money that they renew, or not."""
        self._now = self.limits.now = now
        self._rates.start_empty(now)
        self._inherit_slots()
        if self.purse is not None:
            self._given_up |= self.purse.settled
            for who in self.purse.accounts:
                self._workers.setdefault(who, Worker()).ends_at = now + LEASE_S + MARGIN_S

    def _inherit_slots(self) -> None:
        """The leases of a broker before this one are over when so much time has passed."""
        self._slots.inherit(until=self._began + LEASE_S)

    def renew(self, message: Renewal, *, now: float) -> Lease:
        self._pass_time(now)
        who = message.who
        if who in self._given_up:
            self._alone.pop(who, None)
            return self._lost(message.seq)
        worker = self._workers.setdefault(who, Worker())
        if worker.answer is not None and message.seq <= worker.seq:
            return worker.answer
        if worker.answer is None and message.seq > 1:  # its first answers were another broker's
            self._inherit_slots()
        self._alone.pop(who, None)
        worker.seq, worker.ends_at = message.seq, now + LEASE_S + MARGIN_S
        self._learn(message)
        if message.leaves:
            worker.answer = self._lost(message.seq)
            self.end(who, billed=None if message.money is None else message.money.billed)
            return worker.answer
        worker.answer = self._answer(message)
        return worker.answer

    def overdue(self, now: float) -> list[str]:
        """Workers that have not renewed in time."""
        return [who for who, worker in self._workers.items() if worker.ends_at <= now]

    def end(self, who: str, *, billed: int | None, dead: bool = True) -> None:
        """Give a worker up that has spent `billed`, or may have; None if nobody can tell. One that is not known to be
        `dead` may go on with its even share of the limits."""
        if self._workers.pop(who, None) is None and who in self._given_up:
            if dead:
                self._alone.pop(who, None)
            return
        self._given_up.add(who)
        if not dead:
            self._alone[who] = self._now + ALONE_S
        if self.purse is not None:
            self.purse.settle(who, billed)
        self._rates.leave(who, lost=billed is None)
        self._slots.leave(who)
        self._health.leave(who)

    def account_of(self, who: str) -> Account | None:
        """What a worker was lent, and where it writes what it has spent."""
        return None if self.purse is None else self.purse.accounts.get(who)

    def _pass_time(self, now: float) -> None:
        elapsed, self._now = max(0.0, now - self._now), max(now, self._now)
        self.limits.now = self._now
        for who, until in list(self._alone.items()):
            self._rates.used_alone(elapsed, now=self._now)
            if until <= self._now:
                del self._alone[who]

    def _learn(self, message: Renewal) -> None:
        """What happened since the worker's last message, in its order."""
        now, who = self._now, message.who
        self.limits.holds_max_tokens |= message.holds_max_tokens
        in_flight = int(message.in_flight.requests)
        self._slots.told(who, in_flight=in_flight, saturated=message.saturated, holds=message.holds, now=now)
        self._rates.take_back(who, message.used, in_flight=message.in_flight, now=now)
        for name, told in message.headers.items():
            self._rates.see(name, told, now=now)
        for event in message.events:
            self._answered(event.answered_before, who=who)
            self._failed(event, who=who)
        self._answered(message.answered, who=who)
        self._health.heard(who, undecided=message.undecided)
        self.stop = self.stop or self._health.stop

    def _answered(self, count: int, *, who: str) -> None:
        if not count:
            return
        self._health.answered()
        self.limits.answered = True
        self._pause.succeeded(left_at=self._now)
        for _ in range(count):
            if self.limits.overloaded.share:
                self.limits.overloaded.count(overloaded=False, left_at=self._now)
        # A worker that answered many times with the slots it had is one round of answers: it used no more of them.
        for _ in range(min(count, self._slots.part_of(who))):
            self.limits.concurrency.succeeded()

    def _failed(self, event: Event, *, who: str) -> None:
        if event.of == "dialogue":
            self._health.gave_up(event.error)
            return
        error, left_at = event.error, self._now - event.ago_s
        self._health.failed(error)
        overload = self.limits.overloaded.count(overloaded=error.kind == OVERLOADED, left_at=left_at)
        outage = unheard(error) and self._health.outage is not None
        if error.kind == RATE_LIMITED and not error.ramp:
            self._rates.refused(event, now=self._now)
        if error.ramp or error.kind == RATE_LIMITED or overload or outage:
            self._pause.refused(
                error.retry_after_s, left_at=left_at, at_most_s=self._settings.longest_pause_s, now=self._now
            )
        if error.ramp:
            self.limits.concurrency.cut("ramp_limit", left_at=left_at, slowly=True)
        elif error.kind != RATE_LIMITED and (overload or outage):
            self.limits.concurrency.cut(error.kind, left_at=left_at)

    def _answer(self, message: Renewal) -> Lease:
        now, who = self._now, message.who
        slots = self._slots.lend(who, want=message.want_slots, now=now)
        lent = self._rates.lend(message, workers=max(1, self._slots.asking), now=now)
        money, may_come = None, True
        if self.purse is not None and message.money is not None:
            money = self.purse.renew(who, message.money, seq=message.seq)
            may_come = money > message.money.bound or self.purse.may_come(who)
        elif self.purse is not None:  # what it would spend nobody would count
            money = 0
        return Lease(
            seq=message.seq,
            expires_s=LEASE_S,
            requests=lent["requests"],
            input_tokens=lent["input_tokens"],
            output_tokens=lent["output_tokens"],
            spread_s=RENEW_S if self._rates.scarce else 0.0,
            slots=slots,
            money=money,
            money_may_come=may_come,
            pause_s=max(0.0, self._pause.until - now),
            pause_asked=self._pause.asked,
            stop=self.stop,
            outage=self._health.outage,
            answered_any=self._health.answered_any,
            holds_max_tokens=self.limits.holds_max_tokens,
            per_minute=self._rates.per_minute(),
            share=self._rates.shares(),
        )

    def _lost(self, seq: int) -> Lease:
        return Lease(seq=seq, expires_s=0.0, lost=True, money=None if self.purse is None else 0)
