"""Rate limits that refill continuously, and the headers that tell what is left of them.

`Limits.admit` takes what a request needs out of all buckets that it falls under, or says how long to wait. The time is
always given by the caller, so that tests of a whole minute take no time.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from profiler.core.errors import UsageError
from profiler.provider.mock_server.endpoints import check_selector, covers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.provider.mock_server.settings import LimitRule


class Bucket:
    """Holds up to `burst_s` seconds' worth of a limit a minute."""

    def __init__(self, per_minute: int, *, burst_s: float = 60.0) -> None:
        self.per_minute = per_minute
        self.per_second = per_minute / 60
        self.capacity = max(1.0, self.per_second * burst_s)
        self.level = self.capacity
        self._at: float | None = None

    def refill(self, now: float) -> None:
        if self._at is not None:
            self.level = min(self.capacity, self.level + (now - self._at) * self.per_second)
        self._at = now

    def wait_for(self, amount: float) -> float:
        """Seconds until there is room. What never fits waits for a full bucket, and is then let through."""
        missing = min(amount, self.capacity) - self.level
        return missing / self.per_second if missing > 1e-9 else 0.0

    def take(self, amount: float) -> None:
        self.level -= amount

    @property
    def full_in_s(self) -> float:
        return (self.capacity - self.level) / self.per_second


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What one request takes out of the buckets."""

    endpoint: str
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0


class Refusal(msgspec.Struct, frozen=True):
    """Which limit has no room, and for how long."""

    limit: str
    per_minute: int
    wait_s: float


Buckets = dict[str, Bucket]


class Limits:
    """The limits a provider sets: requests, input tokens and output tokens a minute."""

    def __init__(self, rules: Sequence[LimitRule] = (), *, burst_s: float = 60.0) -> None:
        for rule in rules:
            if (complaint := check_selector(rule.endpoint)) is not None:
                raise UsageError(f"limits: {complaint}")
        self.rules = rules
        self.burst_s = burst_s
        self._buckets: dict[tuple[int, str | None], Buckets] = {}

    def __bool__(self) -> bool:
        return bool(self.rules)

    def admit(self, need: Need, *, now: float) -> Refusal | None:
        """Take what one request needs from every bucket, or nothing from any."""
        needs = {"requests": 1, "input-tokens": need.input_tokens, "output-tokens": need.output_tokens}
        groups = self._of(need)
        longest: Refusal | None = None
        for name, bucket in (each for group in groups for each in group.items()):
            bucket.refill(now)
            wait_s = bucket.wait_for(needs[name])
            if wait_s and (longest is None or wait_s > longest.wait_s):
                longest = Refusal(name, bucket.per_minute, wait_s)
        if longest is None:
            for name, bucket in (each for group in groups for each in group.items()):
                bucket.take(needs[name])
        return longest

    def fields(self, need: Need, *, now: float, wall: float) -> bytes:
        """The header lines of every reply: limit, remaining, and when the bucket will be full again."""
        if not self.rules:
            return b""
        tightest: Buckets = {}
        for name, bucket in (each for group in self._of(need) for each in group.items()):
            bucket.refill(now)
            if name not in tightest or bucket.level < tightest[name].level:
                tightest[name] = bucket
        shown = [(name, [bucket]) for name, bucket in tightest.items()]
        tokens = [tightest[name] for name in ("input-tokens", "output-tokens") if name in tightest]
        if tokens:
            shown.append(("tokens", tokens))
        return "".join(_lines(name, buckets, wall=wall) for name, buckets in shown).encode()

    def _of(self, need: Need) -> list[Buckets]:
        """The buckets that a request takes from, made when they are first needed."""
        found = []
        for place, rule in enumerate(self.rules):
            if not covers(rule.endpoint, need.endpoint):
                continue
            if rule.model is not None and (need.model is None or not fnmatchcase(need.model, rule.model)):
                continue
            key = (place, need.model if rule.each_model else None)
            if key not in self._buckets:
                self._buckets[key] = self._made(rule)
            found.append(self._buckets[key])
        return found

    def _made(self, rule: LimitRule) -> Buckets:
        asked = {
            "requests": rule.requests_per_minute,
            "input-tokens": rule.input_tokens_per_minute,
            "output-tokens": rule.output_tokens_per_minute,
        }
        return {name: Bucket(limit, burst_s=self.burst_s) for name, limit in asked.items() if limit is not None}


def _lines(name: str, buckets: Sequence[Bucket], *, wall: float) -> str:
    limit = sum(bucket.per_minute for bucket in buckets)
    remaining = sum(max(0, math.floor(bucket.level)) for bucket in buckets)
    reset = rfc3339(wall + max(bucket.full_in_s for bucket in buckets))
    prefix = f"anthropic-ratelimit-{name}"
    return f"{prefix}-limit: {limit}\r\n{prefix}-remaining: {remaining}\r\n{prefix}-reset: {reset}\r\n"


def rfc3339(wall: float) -> str:
    """The next whole second, so that nobody comes back too early."""
    return _written(math.ceil(wall))


@lru_cache(maxsize=256)
def _written(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
