"""The money of a worker: a bound that the broker raises slice by slice."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from profiler.fleet.broker.messages import MoneyUse
from profiler.money.budget import Cap, usd

if TYPE_CHECKING:
    from collections.abc import Callable

AHEAD_S = 2.0  # of what was spent lately, so much is wanted at hand


class LeasedCap(Cap):
    """What the worker has spent, may have spent and has set aside never passes the bound, and nothing is set aside once
    the lease has expired."""

    def __init__(self, ask: Callable[[], object]) -> None:
        super().__init__(0.0)
        self._ask = ask
        self._ends_at = -math.inf
        self._may_come = True
        self._least = 0  # what the latest call needs
        self._short = False  # and did not get
        self._attempt: str | None = None
        self._base = self._before = 0
        self._told: str | None = None  # the attempt that the broker knows of
        self._gone_then, self._then = 0, time.monotonic()

    def has_room(self, hold: int) -> bool:
        self._least = hold
        known = self._attempt is not None and self._attempt == self._told
        if known and self.gone + self.reserved + hold <= self.cap and time.monotonic() < self._ends_at:
            return True
        self._short = True
        self._ask()
        return False

    @property
    def may_grow(self) -> bool:
        return self._may_come

    def reached(self, next_call: int) -> str:
        return (
            f"the cap of all workers together could be passed: this one has spent {usd(self.gone)}, or may have, "
            f"nothing is left to be shared out, and the next call may cost up to {usd(next_call)}"
        )

    def begin(self, attempt: str, *, base: int) -> None:
        """From here on another folder tells what is spent. Nothing is, before the broker knows."""
        self._attempt, self._base, self._before = attempt, base, self.gone
        self._told = None
        self._may_come = True

    def end(self) -> None:
        self._attempt, self._base, self._before = None, 0, self.gone

    def use(self, *, slots: int) -> MoneyUse:
        """What to tell the broker. From here on the worker keeps to the bound that it tells."""
        now = time.monotonic()
        rate = (self.gone - self._gone_then) / max(now - self._then, 0.05)
        self._gone_then, self._then = self.gone, now
        committed = self.gone + self.reserved
        wanted = 0
        if self._attempt is not None:
            calls = max(self._least, self._least * slots - self.reserved)
            wanted = calls + int(rate * AHEAD_S)
        kept = 0 if self._short else min(max(0, self.cap - committed), wanted)
        self._short = False
        self.cap = min(self.cap, committed + kept)
        return MoneyUse(
            billed=self.gone,
            held=self.reserved,
            bound=self.cap,
            more=wanted - kept,
            least=self._least,
            attempt=self._attempt,
            base=self._base,
            before=self._before,
        )

    def lend(self, bound: int, *, told: MoneyUse, may_come: bool, ends_at: float) -> None:
        """The answer to what was told."""
        self.cap, self._ends_at = bound, ends_at
        self._told = told.attempt
        self._may_come = may_come or told.attempt != self._attempt
        self.changed()

    def lose(self, *, base: int) -> None:
        """The broker has given the worker up and counted all that its folder tells: what follows is counted from zero."""
        self.cap = self.gone = self._before = 0
        self._gone_then = 0
        self._base, self._told = base, None
        self.changed()
