"""The provider's limits as a worker of a fleet has them: what it learns it tells, and what follows the broker decides.

Two things it does at once, because a message would come too late: the pause after a refusal, and holding calls back while
the first ones are refused.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from profiler.engine.limits.concurrency import AdaptiveConcurrency, ConcurrencyChange, OverloadShare
from profiler.engine.limits.first_refusals import FirstRefusals
from profiler.engine.limits.health import ProviderHealth
from profiler.engine.limits.learned_rate import LearnedRate
from profiler.engine.limits.provider_limits import ProviderLimits, Pushback
from profiler.engine.limits.rate_gate import LIMITS
from profiler.fleet.broker.messages import OF_AN_ERROR, Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.core.errors import CallError, ProviderFailed
    from profiler.core.nouns import Reply
    from profiler.engine.limits.draw import Draw
    from profiler.engine.limits.rate_gate import RateGate
    from profiler.engine.slots import Slots

MOST_EVENTS = 200  # in one message; of more only the latest answers count


class Report:
    """What happened since the last message."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self.events: list[tuple[Event, float]] = []  # with the moment when the call left
        self.answered = 0
        self.unexplained = False
        self._ask = ask

    def add(self, error: CallError, *, dialogue: bool, left_at: float) -> None:
        named = () if error.limits is None else tuple(n for n in LIMITS if getattr(error.limits, n) is not None)
        event = Event(
            of="dialogue" if dialogue else "call",
            **{name: getattr(error, name) for name in OF_AN_ERROR},
            unexplained=self.unexplained,
            named=named,
            answered_before=self.answered,
        )
        if len(self.events) < MOST_EVENTS:
            self.events.append((event, left_at))
            self.answered = 0
        self._ask()


class ToldRate(LearnedRate):
    """Stands in a worker where a single process has its `LearnedRate`: the broker learns from the refusals of all
    workers."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def leaving(self, now: float) -> None:
        pass

    def refused(self, *, left_at: float, now: float) -> bool:
        self._report.unexplained = True
        return False


class NoOverload(OverloadShare):
    """Never finds the provider overloaded: the broker judges that, from the calls of all workers."""

    def count(self, *, overloaded: bool, left_at: float) -> bool:
        return False


class LentConcurrency(AdaptiveConcurrency):
    """Leaves the number of slots alone: the broker decides how many a worker has."""

    def __init__(self) -> None:
        self.changes: list[ConcurrencyChange] = []

    def succeeded(self) -> bool:
        return False

    def cut(self, reason: str, *, left_at: float, slowly: bool = False) -> None:
        pass


class FirstOfMany(FirstRefusals):
    """Holds further calls back when a worker's first ones are refused, until the broker knows how the other workers
    fare."""

    @property
    def undecided(self) -> bool:
        return self._enough

    @property
    def open(self) -> bool:
        """Whether calls are in flight that left before the latest refusal."""
        return self._earlier_in_flight


class LentHealth(ProviderHealth):
    """The provider's health as a worker knows it: what the broker says."""

    def __init__(self) -> None:
        super().__init__()
        self.first: FirstOfMany = FirstOfMany()
        self.told_outage: str | None = None

    @property
    def outage(self) -> str | None:
        return self.told_outage


class WorkerLimits(ProviderLimits):
    def __init__(
        self, gate: RateGate, *, slots: Slots, longest_pause_s: float, report: Report, health: LentHealth
    ) -> None:
        super().__init__(
            gate,
            slots=slots,
            longest_pause_s=longest_pause_s,
            concurrency=LentConcurrency(),
            overloaded=NoOverload(),
            health=health,
        )
        self._report = report

    def succeeded(self, draw: Draw, reply: Reply, *, sent: int) -> bool:
        self._report.answered += 1
        return super().succeeded(draw, reply, sent=sent)

    def failed(self, draw: Draw, error: CallError) -> Pushback:
        self._report.unexplained = False
        pushback = super().failed(draw, error)
        self._report.add(error, dialogue=False, left_at=draw.left_at)
        return pushback

    def gave_up(self, error: CallError) -> ProviderFailed | None:
        """Whether that is a reason to stop is for the broker to say."""
        super().gave_up(error)
        self._report.add(error, dialogue=True, left_at=time.monotonic())
        return None
