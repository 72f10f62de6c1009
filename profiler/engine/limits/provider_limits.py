"""The provider's limits as one object: a call asks here before it leaves, and reports here how it ended.

What that teaches is passed to the gate (when a call may leave), the concurrency (how many at once) and the health (when
it is hopeless to go on).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import msgspec

from profiler.engine.limits import bottleneck
from profiler.engine.limits.concurrency import AdaptiveConcurrency, OverloadShare
from profiler.engine.limits.health import OVERLOADED, PUSHBACKS, RATE_LIMITED, ProviderHealth, refusal, unheard
from profiler.manifest.settings import RateLimits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.core.errors import CallError, ProviderFailed
    from profiler.core.nouns import Reply, Request
    from profiler.engine.limits.draw import Draw
    from profiler.engine.limits.rate_gate import RateGate
    from profiler.engine.slots import Slots


class Pushback(NamedTuple):
    """What a failed call means for its dialogue.

    `costs_attempt`: one of its tries is used up. `everyone_waits`: all calls pause because of it, so the dialogue need
    not wait by itself as well.
    """

    costs_attempt: bool
    everyone_waits: bool


class ProviderLimits:
    """All limits of one provider for one live run."""

    def __init__(
        self,
        gate: RateGate,
        *,
        slots: Slots,
        longest_pause_s: float,
        concurrency: AdaptiveConcurrency | None = None,
        overloaded: OverloadShare | None = None,
        health: ProviderHealth | None = None,
    ) -> None:
        self._gate = gate
        self._slots = slots
        self._concurrency = concurrency or AdaptiveConcurrency(slots)
        self._overloaded = overloaded or OverloadShare()
        self._health = health or ProviderHealth()
        self._longest_pause_s = longest_pause_s
        self._pushbacks: dict[str, int] = {}
        self._began = time.monotonic()

    def try_admit(self, request: Request, now: float | None = None) -> Draw | None:
        """The call's share of the limits if it may leave right now, as most may; None if it has to wait in `admit`."""
        if self._health.answered_any:  # true for all calls but the first few
            return self._gate.try_admit(request, now)
        return None if self._health.first.undecided else self._left(self._gate.try_admit(request, now))

    async def admit(self, request: Request, *, give_up: anyio.Event, by: float) -> Draw | None:
        """Wait until this call may be sent. None when `give_up` was set, or when the deadline `by` comes first."""
        with anyio.move_on_after(by - time.monotonic()) as in_time:
            await self._health.first.decided(give_up=give_up)
        if in_time.cancelled_caught or give_up.is_set():
            return None
        return self._left(await self._gate.admit(request, give_up=give_up, by=by))

    def answered_before(self) -> None:
        """An earlier session of this run was answered, so a refusal is about its dialogue from the first one on."""
        self._health.answered()

    def succeeded(self, draw: Draw, reply: Reply, *, sent: int) -> bool:
        """Learn from a reply to a request of `sent` bytes. Returns whether more calls may run at once now.

        This happens before the next call leaves, so that it goes by the newest limits.
        """
        gate, usage = self._gate, reply.usage
        self._health.answered()
        if self._overloaded.share:
            self._overloaded.count(overloaded=False, left_at=draw.left_at)
        # What is read from the cache does not count against the limit, what is written to it does.
        fresh, cached = usage.get("input_tokens"), usage.get("cache_creation_input_tokens") or 0
        gate.answered(
            draw,
            input_tokens=None if fresh is None else fresh + cached,
            output_tokens=usage.get("output_tokens"),
            sent=sent,
        )
        if reply.limits is not None:
            gate.apply_headers(reply.limits, draw)
        return self._concurrency.succeeded()

    def failed(self, draw: Draw, error: CallError) -> Pushback:
        """Learn from a failure.

        No pause is longer than a dialogue may take: after that time the provider is asked again, and the dialogues that
        cannot wait so long end.
        """
        gate, health = self._gate, self._health
        gate.failed(draw, looked_at=not unheard(error))
        if error.limits is not None:
            gate.apply_headers(error.limits, draw)
        health.failed(error)
        health.first.ended(draw, refused=error.kind if refusal(error) else None)
        overload = self._overloaded.count(overloaded=error.kind == OVERLOADED, left_at=draw.left_at)
        if error.ramp:
            gate.pause(error.retry_after_s, draw=draw, at_most_s=self._longest_pause_s)
            self._concurrency.cut("ramp_limit", left_at=draw.left_at, slowly=True)
        elif error.kind == RATE_LIMITED:
            gate.refused(draw, error, at_most_s=self._longest_pause_s)
        elif overload or (unheard(error) and health.outage is not None):
            gate.pause(error.retry_after_s, draw=draw, at_most_s=self._longest_pause_s)
            self._concurrency.cut(error.kind, left_at=draw.left_at)
        elif error.kind not in PUSHBACKS:
            return Pushback(costs_attempt=True, everyone_waits=False)
        self._pushbacks[error.kind] = self._pushbacks.get(error.kind, 0) + 1
        return Pushback(costs_attempt=False, everyone_waits=gate.pausing)

    def stayed(self, draw: Draw) -> None:
        """A call that might have left was not made."""
        self._gate.failed(draw, looked_at=False)
        self._health.first.ended(draw)

    def gave_up(self, error: CallError) -> ProviderFailed | None:
        """A dialogue ended with this failure. Returns the reason to stop the run if the others would fare no better."""
        return self._health.gave_up(error)

    def all_ended(self, error: CallError) -> ProviderFailed | None:
        """Every dialogue has ended, one with this failure. Returns the reason to call the run failed, if it has."""
        return self._health.all_ended(error)

    @property
    def holds_up(self) -> str | None:
        """What calls are waiting for right now, in words; None when nothing holds them up."""
        if self._health.first.undecided:
            return "the calls that left first, as later ones were refused"
        if (outage := self._health.outage) is not None:
            return f"a provider that cannot be reached ({outage})"
        return self._gate.holds_up(time.monotonic())

    def bound_by(self, *, ended: Sequence[float]) -> dict[str, Any]:
        """What kept the run from going faster, in words and in figures, and how the limits changed."""
        gate, now = self._gate, time.monotonic()
        in_use = gate.in_use(now)
        return {
            "most": bottleneck.phrase(
                elapsed_s=now - self._began,
                waited_s=gate.waited_s,
                in_use=in_use,
                slots=self._slots.limit,
                ended=ended,
            ),
            "waited_s": {reason: round(seconds, 3) for reason, seconds in sorted(gate.waited_s.items())},
            "in_use": {name: round(share, 3) for name, share in in_use.items()},
            "push_backs": dict(sorted(self._pushbacks.items())),
            "limits": [msgspec.to_builtins(change) for change in gate.changes],
            "concurrency": [msgspec.to_builtins(change) for change in self._concurrency.changes],
        }

    def _left(self, draw: Draw | None) -> Draw | None:
        if draw is not None:
            self._health.first.left(draw)
        return draw


def smaller_limits(one: RateLimits | None, other: RateLimits | None) -> RateLimits | None:
    """Of each limit the smaller one; what one of them leaves open, the other decides."""
    if one is None or other is None:
        return one or other
    least: dict[str, int | None] = {}
    for name in RateLimits.__struct_fields__:
        given = [limit for limit in (getattr(one, name), getattr(other, name)) if limit is not None]
        least[name] = min(given, default=None)
    return RateLimits(**least)
