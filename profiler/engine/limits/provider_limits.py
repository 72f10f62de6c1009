"""The provider's limits as a run meets them: gate and concurrency together, and what every call teaches them.

Comes in: jobs about to call, and how their calls ended. Goes out: the leave to call, and what bound the run. Knows
nothing of money, retries or records.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.engine.limits import bottleneck
from profiler.engine.limits.concurrency import AdaptiveConcurrency
from profiler.engine.limits.health import ProviderHealth

if TYPE_CHECKING:
    from collections.abc import Sequence

    import anyio

    from profiler.core.errors import CallError, ProviderFailed
    from profiler.core.nouns import Reply, Request
    from profiler.engine.limits.rate_gate import Draw, RateGate
    from profiler.engine.slots import Slots


class ProviderLimits:
    """How calls of a live run get through."""

    def __init__(self, gate: RateGate, *, slots: Slots, longest_pause_s: float) -> None:
        self._gate = gate
        self._slots = slots
        self._concurrency = AdaptiveConcurrency(slots)
        self._health = ProviderHealth()
        self._longest_pause_s = longest_pause_s
        self._push_backs: dict[str, int] = {}
        self._began = time.monotonic()

    def try_admit(self, request: Request) -> Draw | None:
        """What this call draws from the limits if it may be sent right now, as most may."""
        return self._gate.try_admit(request)

    async def admit(self, request: Request, *, give_up: anyio.Event, by: float) -> Draw | None:
        """Wait until this call may be sent. None when given up, or when the deadline `by` comes first."""
        return await self._gate.admit(request, give_up=give_up, by=by)

    def succeeded(self, draw: Draw | None, reply: Reply, *, sent: int) -> bool:
        """What a reply to so many bytes teaches about the limits, before the next call leaves. Whether more calls may
        run at once now."""
        gate, usage = self._gate, reply.usage
        self._health.answered()
        if draw is not None:
            fresh, cached = usage.get("input_tokens"), usage.get("cache_creation_input_tokens") or 0
            gate.settle(
                draw,
                input_tokens=None if fresh is None else fresh + cached,
                output_tokens=usage.get("output_tokens"),
                sent=sent,
            )
            if reply.limits is not None:
                gate.apply_headers(reply.limits)
        return self._concurrency.succeeded()

    def failed(self, draw: Draw | None, error: CallError, *, called: float, wait_s: float) -> None:
        """What a failure teaches about the limits. A pause longer than any dialogue may take is not kept: whoever asks
        for it is asked again, and the dialogues that cannot wait so long end."""
        gate = self._gate
        if draw is not None:
            gate.settle(draw, input_tokens=None, output_tokens=None, sent=0)
        if error.limits is not None:
            gate.apply_headers(error.limits)
        self._health.failed(error)
        if self.pauses_everyone(error):
            self._push_backs[error.kind] = self._push_backs.get(error.kind, 0) + 1
            pause_s = wait_s if error.retry_after_s is None else error.retry_after_s
            gate.cool_down(min(pause_s, self._longest_pause_s), asked=error.retry_after_s is not None)
            self._concurrency.pushed_back("ramp_limit" if error.ramp else error.kind, called=called, slowly=error.ramp)

    def pauses_everyone(self, error: CallError) -> bool:
        """Whether everybody waits because of this failure, and no dialogue pays for it with a try."""
        return self._health.pauses_everyone(error)

    def gave_up(self, error: CallError) -> ProviderFailed | None:
        """A dialogue ended with this failure. The reason to stop, when the others will fare no better."""
        return self._health.gave_up(error)

    def all_ended(self, error: CallError) -> ProviderFailed | None:
        """Every dialogue has ended, one of them with this failure. The reason to call it a failed run, if it is one."""
        return self._health.all_ended(error)

    @property
    def holds_up(self) -> str | None:
        """What calls stand in line for right now."""
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
            "push_backs": dict(sorted(self._push_backs.items())),
            "limits": [msgspec.to_builtins(change) for change in gate.changes],
            "concurrency": [msgspec.to_builtins(change) for change in self._concurrency.changes],
        }
