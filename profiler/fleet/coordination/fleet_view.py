"""How far a run by many workers is, put together from what they say of themselves."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from profiler.engine.progress import Rate, Snapshot, WorkerLook
from profiler.money.prices import dollars

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from profiler.engine.progress import Looks
    from profiler.fleet.messages import Status
    from profiler.fleet.preparing.prepare import Prepared
    from profiler.storage.money import Money

    Watch = Callable[[Looks], Coroutine[Any, Any, None]]


class WorkerState:
    """What is known of one worker."""

    def __init__(self, number: int, *, cap: int | None) -> None:
        self.number = number
        self.cap = cap  # its share of the money, in pico-dollars
        self.idle = False  # it waits for a range, and none is left
        self.ended = False  # it has sent its last report
        self.hangs = False  # it reported nothing for too long, and was ended
        self.finishing = False  # it was told that nothing is left
        self.status: Status | None = None
        self.rate = Rate()

    @property
    def speed(self) -> float:
        """How many items a second it answers; 1 while it has answered nothing yet."""
        if self.status is None or not self.status.answered:
            return 1.0
        return max(self.rate.of(self.status.answered), 1e-3)

    def forget(self, first: int) -> None:
        """The range that begins there is counted as committed from now on, and what was said of it before would count it twice."""
        if self.status is not None:
            parts = [part for part in self.status.parts if part.first != first]
            self.status = msgspec.structs.replace(self.status, parts=parts)


class FleetView:
    """The progress of all workers together, for the panel and `profiler watch` to draw."""

    def __init__(self, prepared: Prepared, *, total: int | None = None) -> None:
        self.workers: dict[int, WorkerState] = {}
        self.lost = 0
        self.committed = 0  # items
        self.money: Money | None = (
            None  # but for ranges that are in the hands of a worker; None where nothing costs money
        )
        self.stopping = False
        self._prepared = prepared
        self._total = prepared.table.count if total is None else total
        self._rate = Rate()

    def add(self, money: Money) -> None:
        """Add what a worker has spent on a range that it is no longer answering."""
        if self.money is not None:
            self.money += money

    def look(self) -> Snapshot:
        statuses = [each.status for each in self.workers.values() if each.status is not None and not each.ended]
        of_all = [each.status for each in self.workers.values() if each.status is not None]
        parts = [part for status in statuses for part in status.parts]
        done = self.committed + sum(part.done for part in parts)
        rate = self._rate.of(sum(status.answered for status in of_all))
        total = self._total
        failures: Counter[str] = Counter()
        for status in of_all:
            failures.update(status.failures)
        cost = maybe = None
        if self.money is not None:
            cost = dollars(self.money.spent) + sum(part.cost_usd for part in parts)
            maybe = dollars(self.money.maybe) + sum(part.maybe_usd for part in parts)
        return Snapshot(
            experiment_id=self._prepared.experiment.experiment_id,
            mode=self._prepared.source.mode,
            own_client=self._prepared.source.client,
            total=total,
            done=done,
            rate=rate,
            eta_s=(total - done) / rate if rate else None,
            in_flight=sum(status.in_flight for status in statuses),
            slots=sum(status.slots for status in statuses),
            backing_off=sum(status.backing_off for status in statuses),
            retried=sum(status.retried for status in of_all),
            failures=dict(failures),
            stopping=self.stopping,
            held_up_by=next((status.held_up_by for status in statuses if status.held_up_by), None),
            cost_usd=cost,
            maybe_billed_usd=maybe,
            projected_usd=None if cost is None or not done else (cost + (maybe or 0.0)) / done * total,
            workers=tuple(_look_at(each) for each in self.workers.values() if not each.ended),
            lost=self.lost,
        )


def _look_at(worker: WorkerState) -> WorkerLook:
    status = worker.status
    if status is None:
        return WorkerLook(number=worker.number, answered=0, rate=0.0, in_flight=0, held_up_by="starting")
    return WorkerLook(
        number=worker.number,
        answered=status.answered,
        rate=worker.rate.of(status.answered),
        in_flight=status.in_flight,
        held_up_by="nothing left to begin" if worker.idle else status.held_up_by,
    )
