"""Decides when a call may leave: after a shared pause, and within what the provider allows a minute.

Limits are known from the manifest and from reply headers; one that neither names is learned from refusals.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import anyio

from profiler.engine.limits import bottleneck
from profiler.engine.limits.call_guess import CallGuess
from profiler.engine.limits.cool_down import CoolDown
from profiler.engine.limits.draw import Draw
from profiler.engine.limits.learned_rate import LearnedRate
from profiler.engine.limits.limit_changes import LimitChanges
from profiler.engine.limits.token_bucket import MINUTE_S, Bucket, TokenBucket
from profiler.engine.limits.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from profiler.core.errors import CallError
    from profiler.core.nouns import RateHeaders, Request
    from profiler.manifest.settings import RateLimits

LIMITS = ("requests", "input_tokens", "output_tokens")
LEARNED = "learned_rate"
LOOK_EVERY_S = 0.1  # looking takes time in proportion to the calls in flight


class RateGate:
    """The one gate that all calls pass, first come, first served: whoever waits holds up all behind it."""

    def __init__(
        self,
        limits: RateLimits | None = None,
        *,
        granted: Mapping[str, Bucket] | None = None,
        learned: LearnedRate | None = None,
    ) -> None:
        """With `granted` buckets somebody else decides what they hold, and learns of limits that nobody names."""
        self._began = now = time.monotonic()
        self._buckets: dict[str, Bucket] = dict(granted or {})
        self._granted = granted is not None
        self.changes = LimitChanges(began=now)
        for name in LIMITS:
            allowed = getattr(limits, f"{name}_per_minute", None) if limits else None
            if allowed is not None:
                self._buckets[name] = TokenBucket(allowed, now=now)
                self.changes.note(name, allowed, told_by="manifest", now=now)
        self._line = anyio.Lock(fast_acquire=True)
        self._pause = CoolDown()
        self._learned = learned or LearnedRate()
        self.guess = CallGuess()
        self.traffic = Traffic()
        self._next_look = -math.inf
        self._sleep: anyio.CancelScope | None = None  # the wait of the first in line, which may end early
        self._holds: str | None = None  # the reason for that wait
        self.waited_s: dict[str, float] = {}

    async def admit(self, request: Request, *, give_up: anyio.Event, by: float = math.inf) -> Draw | None:
        """Wait until this call may leave, and take from the limits what it will probably use.

        Returns None when `give_up` was set, or when the call could not leave by the moment `by`.
        """
        if self._pause.until > by:
            return None
        async with self._line:
            while (wait := self._wait(self.guess.drawn_by(request))) is not None:
                reason, seconds = wait
                began = time.monotonic()
                if began + seconds > by:
                    return None
                self._holds = reason
                with anyio.move_on_after(seconds) as self._sleep:
                    await give_up.wait()
                self.waited_s[reason] = self.waited_s.get(reason, 0.0) + time.monotonic() - began
                if give_up.is_set():
                    return None
            return self._take(self.guess.drawn_by(request), time.monotonic())

    def try_admit(self, request: Request, now: float | None = None) -> Draw | None:
        """As `admit`, but never waits: None when there is something to wait for, or somebody who waits already."""
        if self._line.locked():
            return None
        draw = self.guess.drawn_by(request)
        limited = self._buckets or self._pause.ends or self._learned.per_second is not None
        return None if limited and self._wait(draw) is not None else self._take(draw, now or time.monotonic())

    def answered(self, draw: Draw, *, input_tokens: int | None, output_tokens: int | None, sent: int) -> None:
        """A call got its reply: correct what it took from the limits, and guess better next time.

        Tokens that the reply does not report stay as they were guessed. `sent` is the length of the request in bytes.
        """
        self.guess.answered(sent=sent, input_tokens=input_tokens, output_tokens=output_tokens)
        self._ended(
            draw,
            input_tokens=draw.input_tokens if input_tokens is None else input_tokens,
            output_tokens=draw.output_tokens if output_tokens is None else output_tokens,
        )
        if self._pause.until or self._learned.per_second is not None:  # else nobody need know: it was never refused
            self._got_through(draw)

    def failed(self, draw: Draw, *, looked_at: bool) -> None:
        """A call ended without a reply. If nobody looked at it, it took no tokens. Of any other it is not known what it
        used, so what it took stays taken.
        """
        if looked_at:
            self._ended(draw, input_tokens=draw.input_tokens, output_tokens=draw.output_tokens)
            self._got_through(draw)
        else:
            self._ended(draw, input_tokens=0.0, output_tokens=0.0)

    def refused(self, draw: Draw, error: CallError, *, at_most_s: float) -> bool:
        """A call was refused because too much was asked for: everybody pauses, once.

        Limits that the refusal's headers do not name are taken for used up. Returns whether a known limit explains the
        refusal; if none does, there is a limit that nobody announced, and its rate is learned.
        """
        now = time.monotonic()
        explained = self._explained(draw, error.limits)
        if not explained and self._learned.refused(left_at=draw.left_at, now=now):
            self.changes.note(LEARNED, 60.0 * (self._learned.per_second or 0.0), told_by="refusals", now=now)
        self.pause(error.retry_after_s, draw=draw, at_most_s=at_most_s)
        for name, bucket in self._buckets.items():
            if error.limits is None or getattr(error.limits, name) is None:
                bucket.empty(now)
        return explained

    def pause(self, asked_s: float | None, *, draw: Draw, at_most_s: float) -> None:
        """Pause everyone for as long as the provider asks, or as seems right where it asks for nothing."""
        self._pause.refused(asked_s, left_at=draw.left_at, at_most_s=at_most_s, now=time.monotonic())

    @property
    def pausing(self) -> bool:
        return self._pause.until > time.monotonic()

    def apply_headers(self, headers: RateHeaders, draw: Draw) -> None:
        """Correct the buckets by what a reply says is left. A limit that was not known before gets a bucket."""
        now = time.monotonic()
        for name in LIMITS:
            told = getattr(headers, name)
            if told is None:
                continue
            bucket = self._buckets.get(name)
            if bucket is None:
                bucket = self._new_bucket(name, told.limit, now=now)
            elif told.limit != bucket.per_minute and told.limit > 0:
                self.changes.note(name, told.limit, told_by="headers", now=now)
            if name == "output_tokens" and not self._granted:
                self._learn_of_output(told.remaining - bucket.level(now), left_at=draw.left_at, now=now)
            in_flight = getattr(self.traffic.in_flight, name)
            bucket.correct(limit=told.limit, remaining=told.remaining, in_flight=in_flight, now=now)

    def hold_up(self, seconds: float, *, asked: bool) -> None:
        """Pause everyone because somebody else was refused; `asked` says that the provider named the time."""
        self._pause.start(seconds, asked=asked, now=time.monotonic())
        self.look_again()

    def hold_max_tokens(self) -> None:
        """Somebody else found out that the provider counts the whole `max_tokens` of each call in flight."""
        if not self.guess.holds_max_tokens:
            self._hold_max_tokens(told_what_is_left=True)

    def look_again(self) -> None:
        """What the first in line waits for may have changed."""
        if self._sleep is not None:
            self._sleep.cancel()

    def utilisation(self, now: float) -> dict[str, float]:
        """How full each limit is right now; 1.0 is all of it."""
        return {name: 1.0 - max(0.0, bucket.level(now)) / bucket.per_minute for name, bucket in self._known()}

    def in_use(self, now: float) -> dict[str, float]:
        """How much of each limit the whole run has used so far; 1.0 is all of it."""
        minutes, used = max(now - self._began, 1e-3) / MINUTE_S, self.traffic.used
        return {name: min(1.0, getattr(used, name) / (bucket.per_minute * minutes)) for name, bucket in self._known()}

    def _known(self) -> Iterator[tuple[str, Bucket]]:
        return ((name, bucket) for name, bucket in self._buckets.items() if bucket.per_minute < math.inf)

    def holds_up(self, now: float) -> str | None:
        """What the line waits for, in words: a limit and how full it is, or a pause and how long it still lasts."""
        reason = self._holds
        if reason is None:
            return None
        if reason in (full := self.utilisation(now)):
            return bottleneck.percent(reason, full[reason])
        if reason in self._buckets:  # no limit is known, and the lease is over
            return "a broker that does not answer"
        if reason == LEARNED:
            return f"{60 * (self._learned.per_second or 0.0):.0f} requests a minute, learned from refusals"
        return f"{bottleneck.words(reason)} {max(0.0, self._pause.until - now):.0f} s"

    def _new_bucket(self, name: str, per_minute: float, *, now: float) -> TokenBucket:
        """A bucket as if it had been there from the first call: full then, with all calls since taken out."""
        bucket = self._buckets[name] = TokenBucket(per_minute, now=self.traffic.first_left_at or now)
        bucket.draw(getattr(self.traffic.used, name))
        self.changes.note(name, per_minute, told_by="headers", now=now)
        return bucket

    def _wait(self, draw: Draw) -> tuple[str, float] | None:
        """The reason for the longest wait before a call, and its length in seconds. None lets the call leave."""
        now = time.monotonic()
        reason, longest = LEARNED, self._learned.wait_s(now)
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

    def _take(self, draw: Draw, now: float) -> Draw:
        self._holds = None
        self._learned.leaving(now)
        self.traffic.left(draw, now=now)
        for name, bucket in self._buckets.items():
            bucket.draw(getattr(draw, name))
        return draw

    def _ended(self, draw: Draw, *, input_tokens: float, output_tokens: float) -> None:
        """A call ended and used so many tokens: the limits lose what the guess was short of, or get back the rest."""
        self.traffic.ended(draw, input_tokens=input_tokens, output_tokens=output_tokens)
        if not self._buckets:
            return
        for name, used in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
            if (bucket := self._buckets.get(name)) is not None:
                more = used - getattr(draw, name)
                bucket.draw(more)
                if more < 0 and self._sleep is not None and self._holds == name:
                    self._sleep.cancel()  # what was given back may let the first in line leave

    def _got_through(self, draw: Draw) -> None:
        if self._learned.per_second is not None:
            self._learned.answered()
        if self._pause.until:
            self._pause.succeeded(left_at=draw.left_at)

    def _learn_of_output(self, surplus: float, *, left_at: float, now: float) -> None:
        """Find out whether the provider counts `max_tokens` from what a reply says is left.

        `surplus` is how many more output tokens that is than we think. When the reply was written the provider did not
        know of the calls that had left just before. It is taken to know those that left in the first half of the time
        which the reply's own call took.
        """
        if now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY_S
        known = self.traffic.left_until((left_at + now) / 2)
        self.guess.told(
            surplus=surplus - (self.traffic.in_flight.output_tokens - known.output_tokens),
            drawn=known.output_tokens,
            max_tokens=known.max_tokens,
            calls=int(known.requests),
        )

    def _explained(self, draw: Draw, headers: RateHeaders | None) -> bool:
        """Whether a known limit had no room for a refused call.

        If there was room for the answer we expect, but not for the whole `max_tokens`, then that is what the provider
        counts: from now on we do the same, also for the calls in flight.
        """
        room_if_held = math.inf
        if headers is not None:
            if headers.requests is not None and headers.requests.remaining < 1:
                return True
            if headers.input_tokens is not None and headers.input_tokens.remaining < draw.input_tokens:
                return True
            if headers.output_tokens is not None:
                room_if_held = headers.output_tokens.remaining
                if room_if_held < draw.output_tokens:
                    return True
        elif "output_tokens" in self._buckets and not self._granted:
            held = self.traffic.in_flight.max_tokens - self.traffic.in_flight.output_tokens
            room_if_held = self._buckets["output_tokens"].level(time.monotonic()) - held
        if draw.output_tokens == draw.max_tokens or room_if_held >= draw.max_tokens:
            return False
        self._hold_max_tokens(told_what_is_left=headers is not None)
        return True

    def _hold_max_tokens(self, *, told_what_is_left: bool) -> None:
        """Count the whole `max_tokens` of every call from now on; the calls in flight give the rest back when they end.

        If the provider says what is left, that number is already without what it reserves for them.
        """
        self.guess.holds_max_tokens = True
        more, bucket = self.traffic.take_max_tokens(), self._buckets.get("output_tokens")
        if bucket is not None and not told_what_is_left:
            bucket.draw(more)
