"""Serves the broker: takes each message to it, writes down what the message has changed, and only then answers.

It also gives up workers that are gone. How messages travel is not its business.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio

from profiler.core.errors import ProfilerError
from profiler.fleet.broker.broker import Broker
from profiler.fleet.broker.kept_money import KeptMoney
from profiler.fleet.broker.messages import RENAMED, Lease
from profiler.storage.folder_lock import is_locked
from profiler.storage.shared_runs.candidate_money import own_money
from profiler.storage.shared_runs.ranges import told_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from profiler.fleet.broker.messages import Envelope
    from profiler.fleet.broker.settings import BrokerSettings
    from profiler.fleet.broker.shared_limits import SharedLimits

LOOK_EVERY_S = 0.25


async def look_for_the_lost(desk: Callable[[], Desk | None]) -> None:
    """Give up the workers that are overdue, every now and then, until this is cancelled; `desk` says at which desk."""
    while True:
        await anyio.sleep(LOOK_EVERY_S)
        if (now := desk()) is not None:
            now.give_up_the_overdue()


def spent_in(candidate: Path) -> int | None:
    """What this candidate alone has spent or may have spent, in pico-dollars, without what it took over from earlier
    ones.

    None where nothing tells it. A candidate that was committed or merged since has no such folder any more; its money is
    noted elsewhere.
    """
    if candidate.is_dir():
        found = own_money(candidate).gone
        if candidate.is_dir():  # it was not committed while it was read
            return found
    return told_by(candidate)


class Desk:
    """`folder` is that of the run: the purse is kept there, and the workers write below it. `money_of` tells what was spent
    in one of the folders there."""

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        folder: Path,
        money_of: Callable[[Path], int | None] = spent_in,
        limits: SharedLimits | None = None,
    ) -> None:
        """`limits` are what is known of the provider from an experiment before this one."""
        self._session = settings.session
        self._folder = folder
        self._money_of = money_of
        self._broker = Broker(settings, now=time.monotonic(), limits=limits)
        self.purse = self._broker.purse
        self._kept = None if self.purse is None else KeptMoney(folder, self.purse)
        if self._kept is not None and self._kept.found:
            self._broker.take_up(now=time.monotonic())

    @property
    def limits(self) -> SharedLimits:
        return self._broker.limits

    def answer(self, sent: Envelope) -> Lease:
        if sent.gone is not None:
            self._end(sent.gone.who, dead=True)
        answer = Lease(seq=0, expires_s=0.0)
        if sent.renewal is not None and not sent.renewal.who.rstrip(RENAMED).endswith(self._session):
            return Lease(seq=sent.renewal.seq, expires_s=0.0, lost=True, money=0)  # it worked for another experiment
        if sent.renewal is not None:
            answer = self._broker.renew(sent.renewal, now=time.monotonic())
        self._write()
        return answer

    def give_up_the_overdue(self) -> None:
        for who in self._broker.overdue(time.monotonic()):
            self._end(who, dead=False)
        self._write()

    def settle_the_dead(self, *, of: str) -> None:
        """Give up the workers of earlier commands whose names end with `of`, as far as no process holds what they wrote and it
        can be told what they spent. They must be of this machine, which sees only its own processes."""
        accounts = {} if self.purse is None else dict(self.purse.accounts)
        for who, account in accounts.items():
            if not who.endswith(of) or any(is_locked(self._folder / name) for name in account.candidates):
                continue
            if (billed := self._billed(who)) is not None:
                self._broker.end(who, billed=billed)
        self._write()

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()

    def _end(self, who: str, *, dead: bool) -> None:
        self._broker.end(who, billed=self._billed(who), dead=dead)

    def _billed(self, who: str) -> int | None:
        """What a worker has spent, or may have: calls that its journal leaves open count. None if nobody can tell."""
        account = self._broker.account_of(who)
        if account is None:
            return None
        billed = account.before
        for name, counted in account.candidates.items():
            told = self._told_by(self._folder / name)
            if told is None:
                return None
            billed += max(0, told - counted)
        return billed

    def _told_by(self, candidate: Path) -> int | None:
        if not candidate.resolve().is_relative_to(self._folder.resolve()):
            return None
        try:
            return self._money_of(candidate)
        except (ProfilerError, OSError, ValueError):
            return None

    def _write(self) -> None:
        if self._kept is not None:
            self._kept.write()
