"""The spending cap of a run: what was spent, what may have been billed, and what is set aside for calls under way.

The three together never exceed the cap, because the worst case of a call is set aside before the call and replaced by
its price afterwards. Amounts are whole pico-dollars.
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

# a gateway gave up waiting, but the request behind it may still be answered and billed
GATEWAYS = frozenset({408, 502, 504, *range(520, 525)})


class Cap:
    """A cap over the budgets of several experiments: what all of them have spent, or may have, and have set aside."""

    def __init__(self, cap_usd: float, *, gone: int = 0) -> None:
        self.cap = pico(cap_usd)
        self.gone = gone
        self.reserved = 0
        self._freed: anyio.Event | None = None

    @staticmethod
    def of(amount: int) -> Cap:
        """A cap of `amount` pico-dollars."""
        cap = Cap(0.0)
        cap.cap = amount
        return cap

    def has_room(self, hold: int) -> bool:
        return self.gone + self.reserved + hold <= self.cap

    def changed(self) -> None:
        if self._freed is not None:
            self._freed.set()
            self._freed = None

    @property
    def may_grow(self) -> bool:
        """Whether room may appear although no call holds money: only where a cap is lent in pieces, and this one is not."""
        return False

    def reached(self, next_call: int) -> str:
        """A sentence that says why the next call, which may cost so much, is not made."""
        return (
            f"the cap of {usd(self.cap)} for all experiments could be passed: {usd(self.gone)} spent or maybe billed, and "
            f"the next call may cost up to {usd(next_call)}"
        )

    async def freed(self) -> None:
        """Wait until the money set aside for some call is settled."""
        if self._freed is None:
            self._freed = anyio.Event()
        await self._freed.wait()


class Budget:
    """The money of one experiment, perhaps within a cap for all of them. Without a cap it only counts."""

    def __init__(
        self,
        card: RateCard,
        *,
        cap_usd: float | None = None,
        spent: int = 0,
        maybe: int = 0,
        within: Cap | None = None,
    ) -> None:
        self.card = card
        self.within = within
        self.cap = None if cap_usd is None else pico(cap_usd)
        self.spent = spent
        self.maybe = maybe
        self.reserved = 0
        self.waiting = 0  # calls that wait for room under the cap
        self.wanted = 0  # a cap that would have allowed the call that was refused
        self._ceiling = Ceiling(card)
        # made only when a call waits: an event for every call would cost more than the arithmetic
        self._freed: anyio.Event | None = None

    @property
    def committed(self) -> int:
        return self.spent + self.maybe + self.reserved

    @property
    def room(self) -> int | None:
        """How much may still be set aside; None without a cap."""
        return None if self.cap is None else self.cap - self.committed

    def reserve(self, request: Request) -> int | None:
        """Set aside the worst case of a call and return it; None when a cap leaves no room for it now."""
        hold, within = worst_case(self._ceiling, request, window=self.card.context_window), self.within
        if self.cap is not None and self.committed + hold > self.cap:
            return None
        if within is not None:
            if not within.has_room(hold):
                return None
            within.reserved += hold
        self.reserved += hold
        return hold

    def settle(self, hold: int, usage: Mapping[str, Any]) -> int | None:
        """Replace a hold by the price of the reply, and return that.

        If it is not known (None), the worst case stays.
        """
        real = cost(self.card, usage)
        if real is None:
            self.keep(hold)
        else:
            self.spent += real
            if self.within is not None:
                self.within.gone += real
            self.release(hold)
        return real

    def keep(self, hold: int) -> None:
        """Nobody knows whether this call was billed, so its worst case counts as if it had been."""
        self.maybe += hold
        if self.within is not None:
            self.within.gone += hold
        self.release(hold)

    def doubt(self, paid: int) -> None:
        """Move money from what was paid to what may have been billed: another part of the same dialogue has no known price."""
        self.spent -= paid
        self.maybe += paid

    def release(self, hold: int) -> None:
        """This call was never made, or is known not to be billed."""
        self.reserved -= hold
        if self.within is not None:
            self.within.reserved -= hold
            self.within.changed()
        if self._freed is not None:
            self._freed.set()
            self._freed = None

    async def room_for(self, request: Request) -> None:
        """Wait until a call under way has ended, which may make room for this one.

        Raises `BudgetReached` when no call is under way.
        """
        within = self.within
        whole_blocks = within is not None and not within.has_room(self.worst(request))
        under_way = within.reserved if within is not None and whole_blocks else self.reserved
        if not under_way and not (whole_blocks and within is not None and within.may_grow):
            raise self.reached(request)
        self.waiting += 1
        try:
            if within is not None and whole_blocks:
                await within.freed()
                return
            if self._freed is None:
                self._freed = anyio.Event()
            await self._freed.wait()
        finally:
            self.waiting -= 1

    def worst(self, request: Request) -> int:
        return worst_case(self._ceiling, request, window=self.card.context_window)

    def reached(self, request: Request) -> BudgetReached:
        """The error that says why nothing more is asked."""
        worst = self.worst(request)
        self.wanted = self.committed + worst
        if self.within is not None and not self.within.has_room(worst):
            error = BudgetReached(self.within.reached(worst))
        else:
            error = BudgetReached(
                f"the cap of {usd(self.cap or 0)} could be passed: {usd(self.spent)} spent, "
                f"{usd(self.maybe)} that may have been billed, and the next call may cost up to {usd(worst)}"
            )
        error.next_call = worst
        return error


def usd(amount: int) -> str:
    """An amount for people to read, with more places the smaller it is."""
    value = dollars(amount)
    return f"${value:,.2f}" if value >= 1 or not value else f"${value:.2g}" if value < 0.0001 else f"${value:.4f}"


def maybe_billed(error: CallError) -> bool:
    """Whether a failed call may be billed all the same.

    An error status from the API proves that it is not, and so does a request that was never sent. Silence, a broken
    reply or a gateway's error proves nothing.
    """
    return error.sent and (error.status is None or error.status < 400 or error.status in GATEWAYS)
