"""How far a run is, read from counters that the pool and the writer keep anyway.

Looking costs nothing per dialogue and cannot change a run. `cli.progress` draws what is seen.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from profiler.core.nouns import Mode
from profiler.engine.calls.pool_status import PoolStatus
from profiler.money.budget import usd
from profiler.money.prices import dollars, pico

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.engine.calls.pool import Pool
    from profiler.money.budget import Budget
    from profiler.provider.source import Source
    from profiler.storage.writing.writer import Writer

RATE_OVER_S = 10.0
LEAST_BETWEEN_S = 0.125  # between looks that are kept for the rate, however often somebody looks


class WorkerLook(msgspec.Struct, frozen=True, kw_only=True):
    """One of several processes that share a run."""

    number: int
    answered: int
    rate: float
    in_flight: int
    held_up_by: str | None = None


class Snapshot(PoolStatus, frozen=True, kw_only=True):
    """One look at a run."""

    experiment_id: str
    mode: Mode
    total: int
    done: int
    rate: float
    eta_s: float | None
    cost_usd: float | None = None
    maybe_billed_usd: float | None = None
    projected_usd: float | None = None
    own_client: str | None = None
    experiments: tuple[int, int] | None = None  # of a run of several: how many have ended, and how many there are
    under_way: tuple[Snapshot, ...] = ()  # of those, each by itself
    workers: tuple[WorkerLook, ...] = ()  # of a run by several processes: each by itself
    lost: int = 0  # and how many of them are no more

    @property
    def answered_by(self) -> str:
        """The mode, and the client's name if a user wrote it."""
        return self.mode.upper() + (f", own client {self.own_client}" if self.own_client else "")

    @property
    def money(self) -> str | None:
        """What was spent, and what the run will come to, in words; None where no price is known."""
        if self.cost_usd is None:
            return None
        words = f"{usd(pico(self.cost_usd))} spent"
        if self.maybe_billed_usd:
            words += f" (and up to {usd(pico(self.maybe_billed_usd))} maybe billed)"
        return words if self.projected_usd is None else f"{words}, about {usd(pico(self.projected_usd))} in all"

    @property
    def bound_by(self) -> str:
        """What the run is waiting for, in words."""
        owed = self.total - self.done
        if self.stopping:
            return f"waiting for {self.in_flight} calls in flight to end"
        if self.held_up_by:
            return f"bound by {self.held_up_by}"
        if self.backing_off:
            return f"waiting for {self.backing_off} retries to come due"
        if self.in_flight and owed <= self.in_flight:
            return f"waiting for {owed} straggler{'s' if owed != 1 else ''}"
        if self.in_flight >= self.slots:
            return "waiting for replies (all slots in use)"
        return "waiting for replies"


class Looks(Protocol):
    """Whatever tells how far a run is: the run itself, or what it says of itself to others."""

    def look(self) -> Snapshot: ...


class Rate:
    """A rate per second, taken over the last few seconds."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def of(self, done: int) -> float:
        now = time.monotonic()
        while len(self._looks) > 1 and self._looks[1][0] < now - RATE_OVER_S:
            self._looks.popleft()
        since, before = self._looks[0]
        if now - self._looks[-1][0] >= LEAST_BETWEEN_S:
            self._looks.append((now, done))
        return (done - before) / (now - since) if now > since else 0.0


class View:
    """Looks at a run from outside. The rate is that of the last seconds."""

    def __init__(
        self,
        *,
        experiment_id: str,
        source: Source,
        total: int,
        kept: int,
        pool: Pool,
        writer: Writer,
        free: int = 0,
        budget: Budget | None = None,
    ) -> None:
        self.experiment_id = experiment_id
        self._source = source
        self._total = total
        self._kept = kept
        self._free = free  # of these, answers of earlier runs, which say nothing of what the others will cost
        self._pool = pool
        self._writer = writer
        self._budget = budget
        self._rate = Rate()

    @property
    def owed(self) -> int:
        """Dialogues without an answer."""
        return self._total - self._kept - self._writer.done

    def look(self) -> Snapshot:
        done = self._writer.done
        rate = self._rate.of(done)
        counters: dict[str, Any] = msgspec.structs.asdict(self._pool.status()) | self._money(self._kept + done)
        return Snapshot(
            experiment_id=self.experiment_id,
            mode=self._source.mode,
            own_client=self._source.client,
            total=self._total,
            done=self._kept + done,
            rate=rate,
            eta_s=self.owed / rate if rate else None,
            **counters,
        )

    def enough_usd(self) -> float | None:
        """A cap under which the run would probably finish: the projected cost and a tenth more, rounded up."""
        budget = self._budget
        if budget is None or budget.cap is None:
            return None
        projected = self.look().projected_usd or 0.0
        wanted = max(projected * 1.1, dollars(budget.wanted) * 1.1, dollars(budget.cap) * 1.5)
        return round_figures(wanted)

    @property
    def next_call(self) -> int:
        """The worst case of the call that was refused, in pico-dollars."""
        budget = self._budget
        return 0 if budget is None else max(0, budget.wanted - budget.committed)

    def _money(self, done: int) -> dict[str, float | None]:
        """Spent so far, and projected as if the dialogues to come cost what those before them did."""
        budget = self._budget
        if budget is None:
            return {}
        gone, paid = budget.spent + budget.maybe, done - self._free
        return {
            "cost_usd": dollars(budget.spent),
            "maybe_billed_usd": dollars(budget.maybe),
            "projected_usd": dollars(gone) / paid * (self._total - self._free) if paid else None,
        }


def round_figures(wanted: float) -> float:
    """Round up to two significant figures."""
    unit = 10.0 ** (math.floor(math.log10(wanted)) - 1)
    return float(f"{math.ceil(wanted / unit) * unit:.2g}")


class Overview:
    """Looks at a run of one experiment or of many."""

    def __init__(self, *, experiments: int, mode: Mode, dialogues: Mapping[str, int], in_parts: bool = False) -> None:
        self._experiments = experiments
        self._many = in_parts or experiments > 1
        self._mode: Mode = mode
        self._dialogues = dialogues  # of each experiment; of a single one its view tells
        self._total = sum(dialogues.values())
        self._views: list[View] = []
        self._ended = Sums()
        self._ended_count = 0
        self._had_views: set[str] = set()  # experiments that make no more calls, and have not ended yet
        self._rate = Rate()

    def add(self, view: View) -> None:
        self._views.append(view)

    @property
    def views(self) -> tuple[View, ...]:
        """The views of the experiments that are making calls now."""
        return tuple(self._views)

    def asked(self, view: View) -> None:
        """This experiment makes no more calls. When it is the only one, its last look is still shown."""
        if self._many:
            self._views.remove(view)
            self._ended.add(view.look())
            self._had_views.add(view.experiment_id)

    def ended(self, name: str, *, complete: bool) -> None:
        """Count an ended experiment. One that was complete already, or took its answers over, never had a view."""
        self._ended_count += 1
        if complete and name not in self._had_views:
            self._ended.done += self._dialogues.get(name, 0)
        self._had_views.discard(name)

    def look(self) -> Snapshot:
        if not self._many and self._views:
            return self._views[0].look()
        parts, many = [view.look() for view in self._views], self._many
        sums = Sums()
        sums.add(self._ended)
        for part in parts:
            sums.add(part)
        done, cost, rate = sums.done, sums.cost_usd, self._rate.of(sums.done)
        return Snapshot(
            experiment_id=f"{self._experiments:,} experiments" if many else "starting",
            mode=self._mode,
            total=self._total,
            done=done,
            rate=rate,
            eta_s=(self._total - done) / rate if rate else None,
            in_flight=sum(each.in_flight for each in parts),
            slots=max((each.slots for each in parts), default=0),
            backing_off=sum(each.backing_off for each in parts),
            retried=sums.retried,
            failures=dict(sums.failures),
            stopping=any(each.stopping for each in parts),
            held_up_by=next((each.held_up_by for each in parts if each.held_up_by), None),
            cost_usd=cost,
            maybe_billed_usd=sums.maybe_billed_usd,
            projected_usd=None
            if cost is None or not done
            else (cost + (sums.maybe_billed_usd or 0.0)) / done * self._total,
            experiments=(self._ended_count, self._experiments) if many else None,
            under_way=tuple(parts) if many else (),
        )


class Sums:
    """What several experiments have come to together."""

    def __init__(self) -> None:
        self.done = 0
        self.retried = 0
        self.failures: Counter[str] = Counter()
        self.cost_usd: float | None = None
        self.maybe_billed_usd: float | None = None

    def add(self, part: Snapshot | Sums) -> None:
        self.done += part.done
        self.retried += part.retried
        self.failures.update(part.failures)
        self.cost_usd = _sum(self.cost_usd, part.cost_usd)
        self.maybe_billed_usd = _sum(self.maybe_billed_usd, part.maybe_billed_usd)


def _sum(one: float | None, other: float | None) -> float | None:
    """The sum of what is known of the two."""
    return one if other is None else other if one is None else one + other
