"""How far a run is, read from counters that the pool and the writer keep anyway.

Looking costs nothing per dialogue and cannot change a run. `cli.progress` draws what is seen.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.money.budget import usd
from profiler.money.prices import dollars, pico

if TYPE_CHECKING:
    from profiler.core.nouns import Mode
    from profiler.engine.pool import Pool
    from profiler.money.budget import Budget
    from profiler.storage.writer import Writer

RATE_OVER_S = 10.0
LEAST_BETWEEN_S = 0.125  # between looks that are kept for the rate, however often somebody looks


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a run."""

    experiment_id: str
    mode: Mode
    total: int
    done: int
    rate: float
    eta_s: float | None
    in_flight: int
    slots: int
    backing_off: int
    retried: int
    failures: dict[str, int]
    stopping: bool
    held_up_by: str | None
    cost_usd: float | None = None
    maybe_billed_usd: float | None = None
    projected_usd: float | None = None
    own_client: str | None = None

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


class View:
    """Looks at a run from outside. The rate is that of the last seconds."""

    def __init__(
        self,
        *,
        experiment_id: str,
        mode: Mode,
        total: int,
        kept: int,
        pool: Pool,
        writer: Writer,
        budget: Budget | None = None,
        own_client: str | None = None,
    ) -> None:
        self._experiment_id = experiment_id
        self._mode = mode
        self._own_client = own_client
        self._total = total
        self._kept = kept
        self._pool = pool
        self._writer = writer
        self._budget = budget
        self._looks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def look(self) -> Snapshot:
        done = self._writer.done
        rate = self._rate(done)
        owed = self._total - self._kept - done
        counters: dict[str, Any] = msgspec.structs.asdict(self._pool.status()) | self._money(self._kept + done)
        return Snapshot(
            experiment_id=self._experiment_id,
            mode=self._mode,
            own_client=self._own_client,
            total=self._total,
            done=self._kept + done,
            rate=rate,
            eta_s=owed / rate if rate else None,
            **counters,
        )

    def enough_usd(self) -> float | None:
        """A cap under which the run would probably finish: the projected cost and a tenth more, rounded up."""
        budget = self._budget
        if budget is None or budget.cap is None:
            return None
        projected = self.look().projected_usd or 0.0
        wanted = max(projected * 1.1, dollars(budget.wanted) * 1.1, dollars(budget.cap) * 1.5)
        unit = 10.0 ** (math.floor(math.log10(wanted)) - 1)
        return float(f"{math.ceil(wanted / unit) * unit:.2g}")

    def _money(self, done: int) -> dict[str, float | None]:
        """Spent so far, and projected as if the dialogues to come cost what those before them did."""
        budget = self._budget
        if budget is None:
            return {}
        gone = budget.spent + budget.maybe
        return {
            "cost_usd": dollars(budget.spent),
            "maybe_billed_usd": dollars(budget.maybe),
            "projected_usd": dollars(gone) / done * self._total if done else None,
        }

    def _rate(self, done: int) -> float:
        now = time.monotonic()
        while len(self._looks) > 1 and self._looks[1][0] < now - RATE_OVER_S:
            self._looks.popleft()
        since, before = self._looks[0]
        if now - self._looks[-1][0] >= LEAST_BETWEEN_S:
            self._looks.append((now, done))
        return (done - before) / (now - since) if now > since else 0.0
