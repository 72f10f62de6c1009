"""The money of one call at a time: set aside before it is made, settled when it has ended, told in its record.

Comes in: jobs on their way, the usage of replies, the errors of failures. Goes out: the leave to make a call, and the
price that a record may name. The sums and the cap are the budget's. Knows nothing of workers or limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.money.prices import dollars

if TYPE_CHECKING:
    import anyio

    from profiler.core.errors import CallError
    from profiler.engine.job import Job
    from profiler.money.budget import Budget


class Till:
    """Stands between the jobs of a run and its budget."""

    def __init__(self, budget: Budget) -> None:
        self.recorded = 0
        self.waiting = 0
        self._budget = budget

    def afford_at_once(self, job: Job) -> bool:
        """Set the worst case of a call aside, if there is room for it now."""
        job.hold = self._budget.reserve(job.request)
        return job.hold is not None

    async def afford(self, job: Job, *, give_up: anyio.Event) -> bool:
        """The same, and close to the cap wait until calls in flight turn out cheaper.

        False when given up; raises `BudgetReached` when nothing is in flight that could make room.
        """
        budget = self._budget
        while not self.afford_at_once(job):
            if not budget.reserved:
                raise budget.reached(job.request)
            await self._room(budget)
            if give_up.is_set():
                return False
        return True

    async def _room(self, budget: Budget) -> None:
        self.waiting += 1
        try:
            await budget.freed()
        finally:
            self.waiting -= 1

    def give_back(self, job: Job) -> None:
        """What was set aside for a call that was never made."""
        if job.hold is not None:
            self._budget.release(job.hold)
            job.hold = None

    def pay(self, job: Job, usage: dict[str, Any]) -> None:
        """Exchange the hold for the price of the reply; one price that is not known leaves the sum unknown."""
        if job.hold is not None:
            paid, job.hold = self._budget.settle(job.hold, usage), None
            job.cost = None if paid is None or job.cost is None else job.cost + paid

    def settle_failed(self, job: Job, error: CallError) -> None:
        if job.hold is not None:
            job.maybe_billed |= self._budget.fail(job.hold, error)
            job.hold = None

    def price_of(self, job: Job) -> float | None:
        """What a record says of its price; the sum of it is what the journal shows."""
        if job.cost is None or job.maybe_billed:
            return None
        self.recorded += job.cost
        return dollars(job.cost)
