"""The money of a worker: a bound that the broker raises slice by slice."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from profiler.fleet.broker.messages import MoneyUse
from profiler.money.budget import Cap, usd

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.money.budget import Budget

AHEAD_S = 2.0  # of what was spent lately, so much is wanted at hand


class Candidate:
    """One open folder. `counted` is what it had spent itself when the worker was given up."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._at_first = budget.spent + budget.maybe
        self.counted = 0

    @property
    def since(self) -> int:
        """What was spent since, or since the folder was opened."""
        return self._spent - self.counted

    @property
    def _spent(self) -> int:
        return self._budget.spent + self._budget.maybe - self._at_first

    def count(self) -> None:
        self.counted = self._spent


class LeasedCap(Cap):
    """What the worker has spent, may have spent and has set aside never passes the bound, and nothing is set aside once
    the lease has expired."""

    def __init__(self, ask: Callable[[], object]) -> None:
        super().__init__(0.0)
        self._ask = ask
        self._ends_at = -math.inf
        self._hopeless: int | None = None  # a call that needs so much will never get it
        self._least = 0  # what the latest call needs
        self._candidates: dict[str, Candidate] = {}
        self._known: set[str] = set()  # those that the broker knows of
        self._gone_then, self._then = 0, time.monotonic()

    def has_room(self, hold: int) -> bool:
        self._least = hold
        known = self._candidates.keys() <= self._known
        if known and self.gone + self.reserved + hold <= self.cap and time.monotonic() < self._ends_at:
            return True
        self._ask()
        return False

    @property
    def may_grow(self) -> bool:
        return self._hopeless is None or self._least < self._hopeless

    def reached(self, next_call: int) -> str:
        return (
            f"the cap of all workers together could be passed: this one has spent {usd(self.gone)}, or may have, "
            f"nothing is left to be shared out, and the next call may cost up to {usd(next_call)}"
        )

    def begin(self, folder: str, budget: Budget) -> None:
        """Calls of one more folder are to be paid. Nothing is spent there before the broker knows of it."""
        self._candidates[folder] = Candidate(budget)

    def end(self, folder: str) -> None:
        self._candidates.pop(folder, None)

    def use(self, *, slots: int) -> MoneyUse:
        """What to tell the broker. From here on the worker keeps to the bound that it tells."""
        now = time.monotonic()
        rate = (self.gone - self._gone_then) / max(now - self._then, 0.05)
        self._gone_then, self._then = self.gone, now
        committed = self.gone + self.reserved
        wanted = 0
        if self._candidates:
            calls = max(self._least, self._least * slots - self.reserved)
            wanted = calls + int(rate * AHEAD_S)
        room = min(max(0, self.cap - committed), wanted)
        # Less than a call needs is of no use here, unless calls in flight turn out cheaper than they might have been.
        kept = 0 if room < self._least and not self.reserved else room
        self.cap = min(self.cap, committed + kept)
        return MoneyUse(
            billed=self.gone,
            bound=self.cap,
            more=wanted - kept,
            least=self._least,
            candidates={folder: each.counted for folder, each in self._candidates.items()},
            before=self.gone - sum(each.since for each in self._candidates.values()),
        )

    def lend(self, bound: int, *, told: MoneyUse, may_come: bool, ends_at: float) -> None:
        """Take the broker's answer to what was told."""
        self.cap, self._ends_at = bound, ends_at
        self._known = self._candidates.keys() & told.candidates.keys()
        self._hopeless = told.least if told.more and not may_come else None
        self.changed()

    def lose(self) -> None:
        """The broker has given the worker up and counted all that its folders tell: what follows is counted from zero."""
        self.cap = self.gone = self._gone_then = 0
        self._known = set()
        for candidate in self._candidates.values():
            candidate.count()
        self.changed()
