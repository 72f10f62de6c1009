"""A worker's link to the broker: says about once a second what was used, and obeys the answer.

It is what the engine takes for its allowance. Where the broker cannot be reached the worker goes on with its even share
of the rate limits, and spends no money that a cap bounds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import anyio
import msgspec

from profiler.core.errors import ProviderFailed, UsageError
from profiler.core.one_error import one_error
from profiler.engine.limits.rate_gate import LIMITS, RateGate
from profiler.fleet.broker.granted_bucket import GrantedBucket
from profiler.fleet.broker.leased_cap import LeasedCap
from profiler.fleet.broker.messages import RENAMED, RENEW_S, Amounts, Renewal, SeenLimit
from profiler.fleet.broker.outage import Outage
from profiler.fleet.broker.worker_limits import LentHealth, Report, ToldRate, WorkerLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from profiler.engine.calls.pool import Pool
    from profiler.engine.slots import Slots
    from profiler.fleet.broker.messages import Lease
    from profiler.fleet.broker.settings import EvenShare
    from profiler.money.budget import Budget

Ask = Callable[["Renewal"], Awaitable["Lease | None"]]

SOONEST_S, LATEST_S = 0.02, 0.5  # between two messages when something is wanted soon, longer the more often it is
LOOK_FOR_ROOM_EVERY_S = 0.02
AGAIN_S = 0.1  # with the same slots still all in use: then twice as long, and so on
AHEAD_S = 2.0  # of the calls of the last second, so much is wanted for the next
GOODBYE_S = 2.0
MOST_SLOTS = 1_000_000  # nobody has so many


class Link:
    """The allowance of a worker. `ask` sends a message and returns the answer, or None when there is none."""

    def __init__(
        self,
        ask: Ask,
        *,
        who: str,
        root: Path,
        capped: bool,
        alone: EvenShare | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`root` is the folder of the run, below which the worker writes. `alone` is what it may use where no broker was ever
        reached; without that it waits for one."""
        self.who = who
        self.cap = LeasedCap(self.hurry) if capped else None
        self._ask = ask
        self._root = root
        self._outage = Outage(alone, capped=capped, tell=tell)
        self._seq = 0
        self._hurried = anyio.Event()
        self._buckets = {name: GrantedBucket(self.hurry) for name in LIMITS}
        self._report = Report(self.hurry)
        self._health = LentHealth()
        self._gate: RateGate | None = None
        self._slots: Slots | None = None
        self._pools: list[Pool] = []
        self._lease: Lease | None = None
        self._requests_then, self._then = 0.0, time.monotonic()
        self._pause_ends = -math.inf
        self._got_more = False  # money, or slots: then it is worth asking for still more soon

    def hurry(self) -> None:
        """Renew now instead of when the second is over: a call wants something."""
        self._hurried.set()

    def limits_of(self, slots: Slots, *, longest_pause_s: float) -> WorkerLimits:
        before, self._gate = self._gate, RateGate(granted=self._buckets, learned=ToldRate(self._report))
        if before is not None:
            self._gate.guess = before.guess
        self._health = LentHealth()
        self._slots = slots
        slots.resize(1)
        if self._lease is not None:
            self._let_know(self._lease)
        self.hurry()
        return WorkerLimits(
            self._gate, slots=slots, longest_pause_s=longest_pause_s, report=self._report, health=self._health
        )

    @contextmanager
    def asking(self, pool: Pool, *, folder: Path, budget: Budget | None) -> Iterator[None]:
        name = str(folder.relative_to(self._root))
        self._pools.append(pool)
        if self.cap is not None and budget is not None:
            self.cap.begin(name, budget)
        if self._lease is not None:
            self._let_know(self._lease)
        self.hurry()
        try:
            yield
        finally:
            self._pools.remove(pool)
            if self.cap is not None:
                self.cap.end(name)
            self.hurry()

    async def renew_all_the_time(self) -> None:
        gap_s = SOONEST_S
        while True:
            self._hurried = anyio.Event()
            await self._renew()
            with anyio.move_on_after(RENEW_S) as calm:
                await self._hurried.wait()
            if calm.cancelled_caught or self._got_more:
                gap_s = SOONEST_S
            if calm.cancelled_caught:
                continue
            await anyio.sleep(gap_s)
            gap_s = min(gap_s * 2, LATEST_S)

    async def look_for_room(self) -> None:
        """Ask for more as soon as all the slots that were lent last are in use, or there are none at all. At one message a
        second it would take many seconds from the few calls of the beginning to all that are allowed.
        """
        used_up, again_s, due = 0, RENEW_S, 0.0
        while True:
            await anyio.sleep(LOOK_FOR_ROOM_EVERY_S)
            slots, now = self._slots, time.monotonic()
            if slots is None or slots.taken < slots.limit:
                continue
            if slots.limit != used_up or not slots.limit:
                used_up, again_s, due = slots.limit, AGAIN_S, now + AGAIN_S
                self.hurry()
            elif (
                again_s < RENEW_S and now >= due
            ):  # the limit grows by answers, and the last message had none to tell of
                again_s *= 2
                due = now + again_s
                self.hurry()

    async def leave(self) -> None:
        """Say goodbye, so that what was granted is free at once."""
        await self._ask(msgspec.structs.replace(self._message(), leaves=True))

    async def _renew(self) -> None:
        """Send one message until it is answered; meanwhile the lease may expire.

        Each time it says what is used by now. A broker that has just come counts from there: it would take what was used
        meanwhile, without it, off limits that it takes for used up already.
        """
        written_at, message = time.monotonic(), self._message()
        used = {name: bucket.used for name, bucket in self._buckets.items()}
        while (lease := await self._ask(message)) is None or lease.seq != message.seq:
            self._unreachable()
            await anyio.sleep(LATEST_S)
            message = msgspec.structs.replace(message, used=self._used(), in_flight=self._in_flight())
        if lease.lost:
            self._lost()
            return
        self._expect_same_cap(lease)
        self._got_more = self._lease is not None and lease.slots > self._lease.slots
        self._lease = lease
        self._outage.is_over()
        ends_at = written_at + lease.expires_s
        for name, bucket in self._buckets.items():
            bucket.per_minute = lease.per_minute.get(name, math.inf)
            bucket.grant(
                getattr(lease, name),
                at=time.monotonic(),
                ends_at=ends_at,
                spread_s=lease.spread_s,
                not_told=bucket.used - used[name],
            )
        if self.cap is not None and message.money is not None:
            self._got_more |= (lease.money or 0) > message.money.bound
            self.cap.lend(lease.money or 0, told=message.money, may_come=lease.money_may_come, ends_at=ends_at)
        self._let_know(lease)

    def _expect_same_cap(self, lease: Lease) -> None:
        """Raise where only one of the two has a cap: nothing would be lent, or nothing counted."""
        if (self.cap is None) != (lease.money is None):
            with_cap, without = ("broker", "worker") if self.cap is None else ("worker", "broker")
            raise UsageError(
                f"the {with_cap} keeps a cap and the {without} does not",
                hint="give --max-cost to the broker and to all that it lends to, or to none of them",
            )

    def _message(self) -> Renewal:
        now = time.monotonic()
        self._seq += 1
        report, slots = self._report, self._slots
        events = tuple(
            msgspec.structs.replace(event, ago_s=max(0.0, now - left_at)) for event, left_at in report.events
        )
        answered, report.events, report.answered = report.answered, [], 0
        want_slots = math.ceil(min(sum(pool.could_use for pool in self._pools), MOST_SLOTS))
        one = {name: max(bucket.one_call, float(name == "requests")) for name, bucket in self._buckets.items()}
        calls = self._calls_wanted(now) if want_slots else 0.0
        return Renewal(
            who=self.who,
            seq=self._seq,
            used=self._used(),
            headers=self._headers(now),
            events=events,
            answered=answered,
            in_flight=self._in_flight(),
            holds=0 if slots is None else slots.limit,
            saturated=slots is not None and slots.taken >= slots.limit,
            undecided=self._health.first.open,
            holds_max_tokens=self._gate is not None and self._gate.guess.holds_max_tokens,
            want=Amounts(**{name: calls * each for name, each in one.items()}),
            one_call=Amounts(**one),
            want_slots=want_slots,
            money=None if self.cap is None else self.cap.use(slots=slots.limit if slots is not None else 0),
        )

    def _calls_wanted(self, now: float) -> float:
        """Twice as many as lately, and one for each slot: it grows quickly, and a burst need not wait."""
        used = self._buckets["requests"].used
        rate = (used - self._requests_then) / max(now - self._then, SOONEST_S)
        self._requests_then, self._then = used, now
        return math.ceil(rate * AHEAD_S * RENEW_S) + max(1, self._slots.limit if self._slots is not None else 1)

    def _headers(self, now: float) -> dict[str, SeenLimit]:
        seen = {}
        for name, bucket in self._buckets.items():
            if bucket.told is not None:
                limit, remaining, at = bucket.told
                if now - at < RENEW_S:
                    seen[name] = SeenLimit(limit=limit, remaining=remaining, age_s=now - at)
        return seen

    def _used(self) -> Amounts:
        return Amounts(**{name: bucket.used for name, bucket in self._buckets.items()})

    def _in_flight(self) -> Amounts:
        if self._gate is None:
            return Amounts(requests=0.0)
        return Amounts(**{name: getattr(self._gate.traffic.in_flight, name) for name in LIMITS})

    def _let_know(self, lease: Lease) -> None:
        """Pass on what the broker says to the limits, the slots and the pool."""
        if self._slots is not None:
            # Who asks nothing yet needs a slot in sight to begin; what it asks first waits for the next answer.
            self._slots.resize(lease.slots if self._pools else max(1, lease.slots))
        if lease.answered_any and not self._health.answered_any:
            self._health.answered()
        self._health.told_outage = lease.outage
        if self._gate is not None:
            if lease.holds_max_tokens:
                self._gate.hold_max_tokens()
            pause_ends = time.monotonic() + lease.pause_s
            if lease.pause_s and pause_ends > self._pause_ends + SOONEST_S:
                self._pause_ends = pause_ends
                self._gate.hold_up(lease.pause_s, asked=lease.pause_asked)
            self._gate.look_again()
        if lease.stop is not None:
            for pool in self._pools:
                pool.drain(ProviderFailed(lease.stop.message, hint=lease.stop.hint))

    def _unreachable(self) -> None:
        """Once the lease has expired, go on with the even share that it named."""
        self._outage.goes_on(self._lease, self._buckets, slots=self._slots)
        if self._gate is not None:
            self._gate.look_again()
        if self.cap is not None:
            self.cap.changed()  # who waits for money looks whether the run was stopped meanwhile

    def _lost(self) -> None:
        """The broker has given this worker up, because it was silent for too long. It goes on as a new one."""
        self.who, self._seq = f"{self.who}{RENAMED}", 0
        self._requests_then = 0.0
        for bucket in self._buckets.values():
            bucket.lose()
        if self.cap is not None:
            self.cap.lose()
        self.hurry()


@asynccontextmanager
async def linked(link: Link) -> AsyncIterator[None]:
    """Keep a worker's link to the broker open for as long as the block runs."""
    try:
        with one_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(link.renew_all_the_time)
                tasks.start_soon(link.look_for_room)
                yield
                tasks.cancel_scope.cancel()
    finally:
        with anyio.move_on_after(GOODBYE_S, shield=True):
            await link.leave()
