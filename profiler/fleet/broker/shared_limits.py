"""What a broker has learned of one model at one address. The experiments of a manifest that ask it one after the other go on
with it, as those that one process asks share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.engine.limits.concurrency import AdaptiveConcurrency, OverloadShare
from profiler.engine.limits.cool_down import CoolDown
from profiler.fleet.broker.rates import SharedRates
from profiler.fleet.broker.shared_slots import SharedSlots

if TYPE_CHECKING:
    from profiler.fleet.broker.settings import BrokerSettings


class SharedLimits:
    def __init__(self, settings: BrokerSettings, *, now: float) -> None:
        self.now = now
        self.rates = SharedRates(settings.rate_limits, workers=settings.workers, now=now)
        self.slots = SharedSlots(settings.concurrency)
        self.concurrency = AdaptiveConcurrency(self.slots, clock=self.clock)
        self.overloaded = OverloadShare(clock=self.clock)
        self.pause = CoolDown()
        self.holds_max_tokens = False
        self.answered = settings.answered_before
        self._most = settings.concurrency

    def clock(self) -> float:
        return self.now

    def go_on(self, settings: BrokerSettings, *, now: float) -> None:
        """Serve the workers of the next experiment; those of the one before have ended."""
        self.now = now
        self.rates.go_on(settings.rate_limits, workers=settings.workers, now=now)
        self.slots.go_on(most=settings.concurrency)
        if settings.concurrency != self._most:
            found_good, self.slots.limit = self.slots.limit, settings.concurrency
            self.concurrency = AdaptiveConcurrency(self.slots, first=found_good, clock=self.clock)
        self._most = settings.concurrency
        self.answered |= settings.answered_before
