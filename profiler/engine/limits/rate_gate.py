"""When a call may leave: after a shared pause, and within what the provider allows a minute.

Comes in: requests about to be sent, and what replies say of limits. Goes out: nothing but the passing of
time; callers wait in line. Knows nothing of retries, money or files.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import anyio
import msgspec

from profiler.engine.limits import bottleneck
from profiler.engine.limits.cool_down import CoolDown
from profiler.engine.limits.token_bucket import MINUTE_S, TokenBucket

if TYPE_CHECKING:
    from profiler.core.nouns import RateHeaders, Request
    from profiler.manifest.settings import RateLimits

LIMITS = ("requests", "input_tokens", "output_tokens")
BYTES_PER_TOKEN = 4.0
LEARNING = 0.05
MIN_COOL_DOWN_S = 0.05
KEPT_CHANGES = 100


class Draw(msgspec.Struct, gc=False):
    """What one call has drawn from the limits, to be settled when its usage is known; or many calls together."""

    input_tokens: float = 0.0
    output_tokens: float = 0.0
    requests: float = 1.0

    def add(self, other: Draw) -> None:
        self.requests += other.requests
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens

    def take_off(self, other: Draw) -> None:
        self.requests -= other.requests
        self.input_tokens -= other.input_tokens
        self.output_tokens -= other.output_tokens


class LimitChange(msgspec.Struct, frozen=True):
    """A limit as somebody told it: the manifest at the start, a reply later on; seconds since the start."""

    at_s: float
    limit: str
    per_minute: float
    told_by: str


class RateGate:
    """The one way out for all calls. First come, first served; a wait of one is a wait of all behind it."""

    def __init__(self, limits: RateLimits | None = None) -> None:
        self._began = now = time.monotonic()
        self._buckets: dict[str, TokenBucket] = {}
        self.changes: list[LimitChange] = []
        for name in LIMITS:
            allowed = getattr(limits, f"{name}_per_minute", None) if limits else None
            if allowed is not None:
                self._buckets[name] = TokenBucket(allowed, now=now)
                self.changes.append(LimitChange(0.0, name, allowed, "manifest"))
        self._line = anyio.Lock(fast_acquire=True)
        self._pause = CoolDown()
        self._bytes_per_token = BYTES_PER_TOKEN
        self._output_tokens: float | None = None
        self._in_flight = Draw(requests=0.0)
        self._used = Draw(requests=0.0)
        self._holds: str | None = None
        self.waited_s: dict[str, float] = {}

    async def admit(self, request: Request, *, give_up: anyio.Event, by: float = math.inf) -> Draw | None:
        """Wait until this call may be sent, and draw what it will probably use. None when given up, or when it could
        not be sent by the given moment."""
        draw = self._drawn_by(request)
        if self._pause.until > by:
            return None
        async with self._line:
            while (wait := self._wait(draw)) is not None:
                reason, seconds = wait
                began = time.monotonic()
                if began + seconds > by:
                    return None
                self._holds = reason
                with anyio.move_on_after(seconds):
                    await give_up.wait()
                self.waited_s[reason] = self.waited_s.get(reason, 0.0) + time.monotonic() - began
                if give_up.is_set():
                    return None
            self._holds = None
            self._take(draw)
        return draw

    def try_admit(self, request: Request) -> Draw | None:
        """The same without a wait. None when there is something to wait for, or somebody who does."""
        if self._pause.ends or self._line.locked():
            return None
        draw = self._drawn_by(request)
        if self._buckets and self._wait(draw) is not None:
            return None
        self._holds = None
        self._take(draw)
        return draw

    def settle(self, draw: Draw, *, input_tokens: int | None, output_tokens: int | None, sent: int) -> None:
        """A call has ended: give back, or draw, what the guess was wrong by, and guess better next time."""
        self._in_flight.take_off(draw)
        if input_tokens is None or output_tokens is None:
            return
        self._draw(Draw(input_tokens - draw.input_tokens, output_tokens - draw.output_tokens, requests=0.0))
        if input_tokens:
            self._bytes_per_token += LEARNING * (sent / input_tokens - self._bytes_per_token)
        known = output_tokens if self._output_tokens is None else self._output_tokens
        self._output_tokens = known + LEARNING * (output_tokens - known)

    def cool_down(self, seconds: float, *, asked: bool = True) -> None:
        """A pause for everyone, once, and no longer than the provider asks for, or we do where it says nothing."""
        now = time.monotonic()
        self._pause.want(max(seconds, MIN_COOL_DOWN_S), asked=asked, now=now)
        for bucket in self._buckets.values():
            bucket.empty(now)

    def apply_headers(self, headers: RateHeaders) -> None:
        """Correct the buckets by what a reply says is left; a limit nobody told of makes its own bucket."""
        now = time.monotonic()
        for name in LIMITS:
            told = getattr(headers, name)
            if told is None:
                continue
            bucket = self._buckets.get(name)
            if bucket is None:
                bucket = self._buckets[name] = TokenBucket(told.limit, now=now)
                self._note(name, told.limit, now=now)
            elif told.limit != bucket.per_minute and told.limit > 0:
                self._note(name, told.limit, now=now)
            in_flight = getattr(self._in_flight, name)
            bucket.correct(limit=told.limit, remaining=told.remaining, in_flight=in_flight, now=now)

    def utilisation(self, now: float) -> dict[str, float]:
        """How much of each limit is in use right now, 1.0 being all of it."""
        return {name: 1.0 - max(0.0, bucket.level(now)) / bucket.per_minute for name, bucket in self._buckets.items()}

    def in_use(self, now: float) -> dict[str, float]:
        """How much of each limit the run has used since it began, 1.0 being all of it."""
        minutes = max(now - self._began, 1e-3) / MINUTE_S
        return {
            name: min(1.0, getattr(self._used, name) / (bucket.per_minute * minutes))
            for name, bucket in self._buckets.items()
        }

    def holds_up(self, now: float) -> str | None:
        """What the line stands still for, in words: a limit and how much of it is in use, a pause and how long yet."""
        reason = self._holds
        if reason is None:
            return None
        if reason in self._buckets:
            return bottleneck.percent(reason, self.utilisation(now)[reason])
        return f"{bottleneck.words(reason)} {max(0.0, self._pause.until - now):.0f} s"

    def _note(self, name: str, per_minute: float, *, now: float) -> None:
        if len(self.changes) < KEPT_CHANGES:
            self.changes.append(LimitChange(round(now - self._began, 3), name, per_minute, "headers"))

    def _wait(self, draw: Draw) -> tuple[str, float] | None:
        """The longest wait that stands before a call, and its reason. Without one, the call leaves."""
        now = time.monotonic()
        reason, longest = "", 0.0
        for name, bucket in self._buckets.items():
            if (seconds := bucket.wait_s(getattr(draw, name), now)) > longest:
                reason, longest = name, seconds
        pause = self._pause
        if pause.ends:
            if (seconds := pause.wait_s(now)) > longest:
                reason, longest = pause.reason, seconds
            if not longest:
                pause.leaving(waiting=self._line.statistics().tasks_waiting, now=now)
        return (reason, longest) if longest else None

    def _drawn_by(self, request: Request) -> Draw:
        """What a call will probably use: as long an answer as they were so far, the longest while none is known."""
        known, most = self._output_tokens, request.params.max_tokens
        return Draw(len(request.body) / self._bytes_per_token, most if known is None or known > most else known)

    def _take(self, draw: Draw) -> None:
        self._in_flight.add(draw)
        self._draw(draw)

    def _draw(self, amounts: Draw) -> None:
        """Count what is used; less than nothing is given back."""
        self._used.add(amounts)
        for name, bucket in self._buckets.items():
            bucket.draw(getattr(amounts, name))
