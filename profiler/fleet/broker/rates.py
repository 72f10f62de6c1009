"""The provider's rate limits, shared out among the workers: what one does not use is there for the others.

Nothing here reads a clock; whoever calls passes the time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from profiler.engine.limits.rate_gate import LIMITS
from profiler.engine.limits.token_bucket import MINUTE_S, RESERVE_S, TokenBucket
from profiler.fleet.broker.messages import RENEW_S
from profiler.fleet.broker.shared_pace import SharedPace

if TYPE_CHECKING:
    from profiler.fleet.broker.messages import Amounts, Event, Renewal, SeenLimit
    from profiler.manifest.settings import RateLimits

PART = 2.0  # what one worker gets at once of what is there: so many times its even part
HEARD_BY_S = 2.0  # after a cut of the learned rate all have heard of it who still ask
PACED_S = 1.0  # of a learned rate, no more than this much is ever saved up


class Portion:
    """What one worker holds of the limits, and what it has used since it began."""

    def __init__(self, now: float) -> None:
        self.at = now  # of its latest message
        self.pace = 0  # which of the rates that is
        self.paced = False  # its latest lease was at a learned rate
        self.waits = False  # it uses what it gets to the full
        self.used = dict.fromkeys(LIMITS, 0.0)
        self.left = dict.fromkeys(LIMITS, 0.0)
        self.in_flight = dict.fromkeys(LIMITS, 0.0)

    def held(self, name: str, now: float) -> float:
        """What it probably has not used yet: who has use for all uses it evenly until it renews."""
        left = self.left[name]
        return left * max(0.0, 1.0 - (now - self.at) / RENEW_S) if self.waits else left


class SharedRates:
    def __init__(self, limits: RateLimits | None, *, workers: int, now: float) -> None:
        self.buckets: dict[str, TokenBucket] = {}
        self.learned = SharedPace()
        self.scarce = False  # somebody got less than it wanted in the last answer
        self._workers = workers
        self._portions: dict[str, Portion] = {}
        self._gone = dict.fromkeys(LIMITS, 0.0)  # used by workers that have left
        self._first_call: float | None = None
        self._pace = 0.0  # requests that the learned rate allows now
        self._paced_at = now
        self._emptied_at = -math.inf
        self._paces = 0  # how often the learned rate was cut
        self._cut_at = self._heard_at = -math.inf  # when that was last, and when the last worker heard of it
        self._began_empty = False
        self._allow(limits, now=now)

    def _allow(self, limits: RateLimits | None, *, now: float) -> None:
        for name in LIMITS:
            allowed = getattr(limits, f"{name}_per_minute", None) if limits is not None else None
            if allowed is None:
                continue
            bucket = self.buckets.get(name)
            if bucket is None:
                self.buckets[name] = TokenBucket(allowed, now=now)
            elif allowed < bucket.per_minute:  # of two experiments that share a limit the smaller one holds
                bucket.level(now)
                bucket.per_minute = allowed
                bucket.draw(0.0)

    def go_on(self, limits: RateLimits | None, *, workers: int, now: float) -> None:
        """Serve other workers from here on. What was lent to those before them and is not accounted for counts as used."""
        for who in list(self._portions):
            self.leave(who, lost=True)
        self._workers = workers
        self._allow(limits, now=now)

    def start_empty(self, now: float) -> None:
        """Begin with empty buckets, because it is not known what was used just before."""
        self._began_empty = True
        for bucket in self.buckets.values():
            bucket.empty(now)

    def take_back(self, who: str, used: Amounts, *, in_flight: Amounts, now: float) -> None:
        """Count what a worker has used so far; the rest of what it was given is free again."""
        portion = self._portions.get(who)
        if portion is None:
            portion = self._portions[who] = Portion(now)
            portion.used = {name: getattr(used, name) for name in LIMITS}
            if (
                any(portion.used.values()) and not self._began_empty
            ):  # lent by a broker before this one, or used without any
                self.start_empty(now)
        for name in LIMITS:
            more = getattr(used, name) - portion.used[name]
            unused = portion.left[name] - more
            if name in self.buckets:
                self.buckets[name].level(now)
                self.buckets[name].draw(-unused)
            if name == "requests":
                self._pace_on(now)
                if portion.paced:  # what left without any pace owes it nothing
                    self._pace += unused
                self.learned.left(more, since=portion.at, now=now)
                if more and self._first_call is None:
                    self._first_call = now
            portion.used[name], portion.left[name] = getattr(used, name), 0.0
            portion.in_flight[name] = getattr(in_flight, name)

    def leave(self, who: str, *, lost: bool = False) -> None:
        """A worker is gone. What it held is free again, or counts as used where nobody knows."""
        portion = self._portions.pop(who, None)
        if portion is None:
            return
        for name in LIMITS:
            self._gone[name] += portion.used[name]
            if name in self.buckets and not lost:
                self.buckets[name].draw(-portion.left[name])

    def see(self, name: str, told: SeenLimit, *, now: float) -> None:
        """Believe what the headers of a reply say is left, after what is granted and perhaps in flight."""
        bucket = self.buckets.get(name)
        if bucket is None and told.limit > 0:
            bucket = self.buckets[name] = TokenBucket(told.limit, now=self._first_call or now)
            bucket.draw(self._gone[name] + sum(each.used[name] + each.left[name] for each in self._portions.values()))
        if bucket is None:
            return
        granted = sum(each.held(name, now) for each in self._portions.values())
        in_flight = sum(each.in_flight[name] for each in self._portions.values())
        since = told.age_s * (told.limit or bucket.per_minute) / MINUTE_S
        bucket.correct(limit=told.limit, remaining=told.remaining + since - granted, in_flight=in_flight, now=now)

    def refused(self, event: Event, *, now: float) -> None:
        """Too much was asked for: limits that the headers of the refusal do not name are taken for used up.

        Calls that left before the limits were last taken for used up say nothing new.
        """
        left_at = now - event.ago_s
        if event.unexplained:
            knew = self._left_at_this_pace(left_at, now)
            if self.learned.refused(left_at=left_at, knew=knew, now=now):
                self._pace = min(self._pace, 0.0)
                if self.learned.per_second is not None:
                    self._paces, self._cut_at, self._heard_at = self._paces + 1, now, math.inf
        if left_at < self._emptied_at:
            return
        self._emptied_at = now
        for name, bucket in self.buckets.items():
            if name not in event.named:
                bucket.empty(now)

    def _left_at_this_pace(self, left_at: float, now: float) -> bool:
        """Whether all workers had heard of the present pace when a call left. Before that, whoever has not heard of it uses up
        the limit for all, and a refusal says nothing of the new pace. One that is silent is not waited for."""
        if now >= self._cut_at + HEARD_BY_S:
            return left_at >= min(self._heard_at, self._cut_at + HEARD_BY_S)
        return left_at >= self._heard_at

    def lend(self, message: Renewal, *, workers: int, now: float) -> dict[str, float | None]:
        """What a worker gets of each limit until it renews; None is as much as it likes."""
        portion = self._portions.setdefault(message.who, Portion(now))
        since_s, portion.at = min(now - portion.at, RENEW_S), now
        portion.pace = self._paces
        if self._heard_at == math.inf and all(each.pace == self._paces for each in self._portions.values()):
            self._heard_at = now
        portion.paced = self.learned.per_second is not None
        self.scarce = False
        lent: dict[str, float | None] = {}
        for name in LIMITS:
            want, one = getattr(message.want, name), getattr(message.one_call, name)
            amount = self._lend_one(name, want=want, one=one, workers=workers, since_s=since_s, now=now)
            lent[name] = amount
            portion.left[name] = amount or 0.0
            self.scarce |= amount is not None and amount < want
        portion.waits = self.scarce
        return lent

    def _lend_one(
        self, name: str, *, want: float, one: float, workers: int, since_s: float, now: float
    ) -> float | None:
        bucket, rate = self.buckets.get(name), self.learned.per_second if name == "requests" else None
        if bucket is None and rate is None:
            return None
        free = math.inf
        if bucket is not None:
            free = bucket.level(now) - bucket.per_minute * RESERVE_S / MINUTE_S
            one = min(
                one, bucket.per_minute * (1 - RESERVE_S / MINUTE_S)
            )  # more than a whole bucket waits for a full one
        if rate is not None:
            self._pace_on(now)
            free = min(free, self._pace)
        if want <= 0 or free < one - 1e-9:
            return 0.0
        # Its even part of what has come since its last message, and some of what lies there.
        part = self.per_minute()[name] / MINUTE_S * since_s / workers + free * min(1.0, PART / workers)
        amount = min(max(want, one), max(one, min(free, part)))
        if bucket is not None:
            bucket.draw(amount)
        if rate is not None:
            self._pace -= amount
        return amount

    def _pace_on(self, now: float) -> None:
        self.learned.pass_time(now)
        rate, elapsed = self.learned.per_second, now - self._paced_at
        self._paced_at = now
        if rate is None:
            self._pace = 1.0
        else:
            self._pace = min(self._pace + rate * elapsed, max(1.0, rate * PACED_S))

    def used_alone(self, seconds: float, *, now: float) -> None:
        """A worker that cannot be reached may go on with its even share, for so long now."""
        for name, share in self.shares().items():
            self.buckets[name].level(now)
            self.buckets[name].draw(share * seconds / MINUTE_S)

    def per_minute(self) -> dict[str, float]:
        found = {name: bucket.per_minute for name, bucket in self.buckets.items()}
        if self.learned.per_second is not None:
            found["requests"] = min(found.get("requests", math.inf), self.learned.per_second * MINUTE_S)
        return found

    def shares(self) -> dict[str, float]:
        """Of each announced limit the part of one worker."""
        return {name: bucket.per_minute / self._workers for name, bucket in self.buckets.items()}
