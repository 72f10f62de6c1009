"""The cap, leased to the workers in slices: what they were granted together with what is spent never passes it.

Nothing here reads a clock or a file. Each change of what a worker holds is noted in `changes`, which must be on disk
before the worker is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from profiler.fleet.broker.messages import MoneyUse

SHARE = 2  # of what is free, one slice is no more than this part for each worker, so that the others get theirs


class MoneyLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change: what a worker holds from here on or, with `settled`, what it has spent in all."""

    who: str = ""
    seq: int = 0
    granted: int = 0
    candidates: dict[str, int] = msgspec.field(name="attempts", default_factory=dict)
    before: int = 0
    settled: int | None = None


class Account(msgspec.Struct):
    """What one worker holds: it may spend `granted` in all, from its beginning on."""

    granted: int = 0
    seq: int = 0
    candidates: dict[str, int] = {}
    before: int = 0
    billed: int = 0  # as far as it has told; the rest of what was granted may come back


class Purse:
    def __init__(self, cap: int, *, gone: int = 0) -> None:
        self.cap = cap
        self.gone = gone
        self.accounts: dict[str, Account] = {}
        self.settled: set[str] = set()  # workers that an earlier broker has given up
        self.changes: list[MoneyLine] = []

    @property
    def free(self) -> int:
        return self.cap - self.gone - sum(each.granted for each in self.accounts.values())

    def take_up(self, lines: Iterable[MoneyLine]) -> None:
        """Go on from the notes of an earlier broker."""
        for line in lines:
            if line.settled is not None:
                self.gone += line.settled
                if line.who:
                    self.accounts.pop(line.who, None)
                    self.settled.add(line.who)
            else:
                self.accounts[line.who] = Account(line.granted, line.seq, line.candidates, line.before)

    def renew(self, who: str, use: MoneyUse, *, seq: int) -> int:
        """Renew a worker's loan. Returns how much it may spend in all, from its beginning on."""
        account = self.accounts.get(who)
        if account is None:
            account = self.accounts[who] = Account()
        before = msgspec.structs.replace(account)
        if seq > account.seq:  # an old message, from before the broker was killed, must not take away what came later
            # What it has spent counts, even where an answer was dearer than its worst case.
            account.granted = max(min(account.granted, use.bound), use.billed)
            account.candidates, account.before = use.candidates, use.before
            account.billed = use.billed
        account.granted += self._slice(use)
        account.seq = max(seq, account.seq)
        if use.bound < before.granted or (account.granted, account.candidates) != (before.granted, before.candidates):
            self.changes.append(_line(who, account))
        return account.granted

    def _slice(self, use: MoneyUse) -> int:
        """What is granted now, on top of what the worker keeps."""
        free = self.free
        if use.least > free:
            return 0
        share = free // (SHARE * len(self.accounts))
        return min(use.more, max(share, use.least))

    def may_come(self, who: str) -> bool:
        """Whether others may give something back: they have calls under way, or hold more than they have used."""
        return any(each.granted > each.billed for name, each in self.accounts.items() if name != who)

    def held(self) -> list[MoneyLine]:
        return [_line(who, account) for who, account in self.accounts.items()]

    def settle(self, who: str, billed: int | None) -> None:
        """A worker is gone that has spent so much, or may have. If nobody can tell, all it was granted counts."""
        account = self.accounts.pop(who, None)
        if account is not None:
            amount = account.granted if billed is None else billed
            self.gone += amount
            self.changes.append(MoneyLine(who=who, settled=amount))


def _line(who: str, account: Account) -> MoneyLine:
    return MoneyLine(
        who=who,
        seq=account.seq,
        granted=account.granted,
        candidates=account.candidates,
        before=account.before,
    )
