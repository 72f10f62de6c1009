"""What one dialogue has cost so far, and may have cost: told to the budget and the ledger, call by call.

The worst case of a call is set aside in the budget before the call is made, written into the ledger at the moment it
leaves, and exchanged for its price when it has ended. So a process that is killed leaves behind what its calls in
flight can have cost at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from profiler.money.budget import Budget, maybe_billed
from profiler.money.prices import dollars

if TYPE_CHECKING:
    from collections.abc import Mapping

    import anyio

    from profiler.core.errors import CallError
    from profiler.core.nouns import Request


class LedgerPlaces(Protocol):
    """Where the money of dialogues on their way is written down, in pico-dollars."""

    def enter(self, index: int, *, hold: int) -> int:
        """A place for this dialogue, until its record is in the journal; its first call leaves right after this."""

    def write(self, place: int, *, paid: int, maybe: int, hold: int) -> None: ...

    def leave(self, index: int) -> None:
        """Nothing of this dialogue may have been billed."""


class CallCost(msgspec.Struct):
    """The money of one dialogue, in pico-dollars: `hold` for the call under way, `paid` for replies with a known price,
    `maybe` for what may have been billed. Without a budget nothing has a price, and only calls are noted."""

    budget: Budget | None
    ledger: Any  # Ledger | None: msgspec checks no protocols
    index: int
    place: int | None = None
    hold: int = 0
    paid: int = 0
    maybe: int = 0
    unknown: bool = False  # one reply has no known price, so the dialogue has none
    billed: bool = False  # a call of the dialogue was billed, or may have been, whether its price is known or not

    def set_aside(self, request: Request) -> bool:
        """Reserve the worst case of a call, if the cap leaves room for it now."""
        if self.budget is None:
            return True
        hold = self.budget.reserve(request)
        if hold is None:
            return False
        self.hold = hold
        return True

    async def wait_for_room(self, request: Request, *, give_up: anyio.Event) -> bool:
        """The same, and close to the cap wait until calls in flight turn out cheaper than they might have.

        False when given up; raises `BudgetReached` when nothing is in flight that could make room.
        """
        while not self.set_aside(request):
            budget = self.budget
            if budget is not None:
                await budget.room_for(request)
            if give_up.is_set():
                return False
        return True

    def give_back(self) -> None:
        """The call is not made after all."""
        if self.budget is not None:
            self.budget.release(self.hold)
        self.hold = 0

    def leaves(self) -> None:
        """The call is sent right after this: from here on it may be billed."""
        if self.ledger is not None:
            if self.place is None:
                self.place = self.ledger.enter(self.index, hold=self.hold)
            else:
                self.ledger.write(self.place, paid=self.paid, maybe=self.maybe, hold=self.hold)

    def answered(self, usage: Mapping[str, Any]) -> None:
        """Exchange the hold for the price of the reply; a reply without a known price counts as its worst case."""
        budget, self.billed = self.budget, True
        if budget is not None:
            price = budget.settle(self.hold, usage)
            if price is not None:
                self.paid += price
            else:
                self.maybe += self.hold
                self.unknown = True
            if self.unknown and self.paid:  # the sum of known and unknown is unknown
                budget.doubt(self.paid)
                self.maybe += self.paid
                self.paid = 0
        self._settled()

    def failed(self, error: CallError) -> None:
        """Give the hold back, unless the failed call may have been billed all the same."""
        budget, kept = self.budget, maybe_billed(error)
        if budget is not None and kept:
            budget.keep(self.hold)
            self.maybe += self.hold
        elif budget is not None:
            budget.release(self.hold)
        self.billed |= kept
        self._settled()

    def _settled(self) -> None:
        self.hold = 0
        if self.ledger is not None and self.place is not None:
            if self.billed:
                self.ledger.write(self.place, paid=self.paid, maybe=self.maybe, hold=0)
            else:  # it may be dropped now, when the run drains, and would look like one that was cut off in its call
                self.ledger.leave(self.index)
                self.place = None

    @property
    def cost_usd(self) -> float | None:
        """What was paid, for the record. None when no price is known, or when nothing was paid that anybody knows of."""
        if self.budget is None or self.unknown or (self.maybe and not self.paid):
            return None
        return dollars(self.paid)

    @property
    def maybe_usd(self) -> float:
        """What may have been billed besides; a record names it only where it is more than nothing."""
        return dollars(self.maybe)
