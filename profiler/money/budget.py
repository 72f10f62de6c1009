"""The spending cap of a run: what was spent, what may have been billed, and what is set aside for calls under way.

The three together never exceed the cap: the worst case of a call is set aside before it is made, and exchanged for its
price when the reply is there. Sums are whole pico-dollars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from profiler.core.errors import BudgetReached
from profiler.money.prices import Ceiling, cost, dollars, pico
from profiler.money.worst_case import worst_case

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.core.errors import CallError
    from profiler.core.nouns import Request
    from profiler.money.prices import RateCard

GATEWAYS = frozenset({408, 502, 504, *range(520, 525)})  # a gateway gave up waiting; behind it the request may live on


class Budget:
    """One run's money. Without a cap it only keeps count."""

    def __init__(self, card: RateCard, *, cap_usd: float | None = None, spent: int = 0, maybe: int = 0) -> None:
        self.card = card
        self.cap = None if cap_usd is None else pico(cap_usd)
        self.spent = spent
        self.maybe = maybe
        self.reserved = 0
        self.waiting = 0  # calls that wait for room under the cap
        self.wanted = 0  # a cap with which the call that was refused could have been made
        self._ceiling = Ceiling(card)
        self._freed: anyio.Event | None = None  # made by who waits: an event for every call costs more than the sums

    @property
    def committed(self) -> int:
        return self.spent + self.maybe + self.reserved

    @property
    def room(self) -> int | None:
        """What may still be set aside; None without a cap."""
        return None if self.cap is None else self.cap - self.committed

    def reserve(self, request: Request) -> int | None:
        """Set the worst case of one call aside. None: not now, or never when nothing else is set aside."""
        hold = worst_case(self._ceiling, request, window=self.card.context_window)
        if self.cap is not None and self.committed + hold > self.cap:
            return None
        self.reserved += hold
        return hold

    def settle(self, hold: int, usage: Mapping[str, Any]) -> int | None:
        """The price of a reply, in place of its hold. A price that is not known leaves the worst case standing."""
        real = cost(self.card, usage)
        if real is None:
            self.keep(hold)
        else:
            self.release(hold)
            self.spent += real
        return real

    def keep(self, hold: int) -> None:
        """Nobody knows whether this call was billed, so it counts as if it had been."""
        self.release(hold)
        self.maybe += hold

    def doubt(self, paid: int) -> None:
        """What was paid is part of a sum that is not known: it stays in the count, among what may have been billed."""
        self.spent -= paid
        self.maybe += paid

    def release(self, hold: int) -> None:
        """This call was never made, or is known not to have been billed."""
        self.reserved -= hold
        if self._freed is not None:
            self._freed.set()
            self._freed = None

    async def room_for(self, request: Request) -> None:
        """Wait until a call under way is settled, which may make room for this one.

        Raises `BudgetReached` when nothing is under way.
        """
        if not self.reserved:
            raise self.reached(request)
        self.waiting += 1
        try:
            if self._freed is None:
                self._freed = anyio.Event()
            await self._freed.wait()
        finally:
            self.waiting -= 1

    def worst(self, request: Request) -> int:
        return worst_case(self._ceiling, request, window=self.card.context_window)

    def reached(self, request: Request) -> BudgetReached:
        """Why nothing more is asked, in words."""
        self.wanted = self.committed + self.worst(request)
        return BudgetReached(
            f"the cap of {usd(self.cap or 0)} could be passed: {usd(self.spent)} spent, "
            f"{usd(self.maybe)} that may have been billed, and the next call may cost up to {usd(self.worst(request))}"
        )


def usd(amount: int) -> str:
    """For people: cents for sums, and as many places as small ones need."""
    value = dollars(amount)
    return f"${value:,.2f}" if value >= 1 or not value else f"${value:.2g}" if value < 0.0001 else f"${value:.4f}"


def maybe_billed(error: CallError) -> bool:
    """An error status from the API proves that nothing was billed, and so does a request that never left. Silence, a
    broken reply or a gateway proves nothing."""
    return error.sent and (error.status is None or error.status < 400 or error.status in GATEWAYS)
