"""What one dialogue has cost and may have cost so far, kept up to date in the budget and the ledger.

The worst case of a call is set aside in the budget before the call, written to the ledger when it leaves, and replaced
by its price when it has ended. So a process that is killed leaves in the ledger the most that its calls in flight can
have cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from profiler.money.budget import Budget, maybe_billed
from profiler.money.prices import PICO, dollars

if TYPE_CHECKING:
    from collections.abc import Mapping

    import anyio

    from profiler.core.errors import CallError
    from profiler.core.nouns import Request


class LedgerPlaces(Protocol):
    """Where the money of dialogues under way is written down, in pico-dollars; `storage.ledger` is one."""

    def enter(self, index: int, *, hold: int) -> int:
        """Write a dialogue down right before its first call, and return its place, valid until its record is in the
        journal."""

    def write(self, place: int, *, paid: int, maybe: int, hold: int) -> None: ...

    def leave(self, index: int) -> None:
        """Take a dialogue out again: nothing of it can have been billed."""


class CallCost(msgspec.Struct):
    """The money of one dialogue, in pico-dollars.

    `hold` is set aside for the call under way, `paid` is for replies with a known price, `maybe` may have been billed.
    Without a budget there are no prices, and the ledger only notes that calls were made.
    """

    budget: Budget | None
    ledger: Any  # Ledger | None: msgspec checks no protocols
    index: int
    place: int | None = None
    hold: int = 0
    paid: int = 0
    maybe: int = 0
    unknown: bool = False  # a reply had no known price, so neither has the dialogue
    billed: bool = False  # some call was billed or may have been, at a known price or not

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
        """Set the worst case aside; close to the cap, wait until calls in flight turn out cheaper than they might have.

        False when `give_up` was set. Raises `BudgetReached` when no call in flight could make room.
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
        """The call is sent right after this, and may be billed from here on."""
        if self.ledger is not None:
            if self.place is None:
                self.place = self.ledger.enter(self.index, hold=self.hold)
            else:
                self.ledger.write(self.place, paid=self.paid, maybe=self.maybe, hold=self.hold)

    def answered(self, usage: Mapping[str, Any]) -> None:
        """Replace the hold by the price of the reply, or keep the worst case when the price is not known."""
        budget, self.billed = self.budget, True
        if budget is not None:
            price = budget.settle(self.hold, usage)
            if price is not None:
                self.paid += price
            else:
                self.maybe += self.hold
                self.unknown = True
            # Known plus unknown is unknown: what was paid moves to what may have been billed.
            if self.unknown and self.paid:
                budget.doubt(self.paid)
                self.maybe += self.paid
                self.paid = 0
        self.hold = 0
        if self.ledger is not None and self.place is not None:
            self.ledger.write(self.place, paid=self.paid, maybe=self.maybe, hold=0)

    def failed(self, error: CallError) -> None:
        """Give the hold back, unless the failed call may have been billed all the same."""
        budget, kept = self.budget, maybe_billed(error)
        if budget is not None and kept:
            budget.keep(self.hold)
            self.maybe += self.hold
        elif budget is not None:
            budget.release(self.hold)
        self.billed |= kept
        self.hold = 0
        if self.ledger is not None and self.place is not None:
            if self.billed:
                self.ledger.write(self.place, paid=self.paid, maybe=self.maybe, hold=0)
            # Left in the ledger, a dialogue that the run drops while it drains would look as if it had been cut off in
            # its call.
            else:
                self.ledger.leave(self.index)
                self.place = None

    @property
    def cost_usd(self) -> float | None:
        """What was paid, for the record; None when a price is not known, or when something may have been billed and
        nothing was."""
        if self.budget is None or self.unknown or (self.maybe and not self.paid):
            return None
        return self.paid / PICO

    @property
    def maybe_usd(self) -> float:
        """What may have been billed besides; a record names it only where it is more than nothing."""
        return dollars(self.maybe)
