"""What an attempt at a range of a run has spent, by its own files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from profiler.storage import journal, ledger
from profiler.storage.names import INHERITED, JOURNAL

if TYPE_CHECKING:
    from pathlib import Path


class Money(msgspec.Struct, frozen=True):
    """Pico-dollars that were spent, and that may have been; and how many items were cut off in a call."""

    spent: int = 0
    maybe: int = 0
    cut_off: int = 0

    def __add__(self, other: Money) -> Money:
        return Money(self.spent + other.spent, self.maybe + other.maybe, self.cut_off + other.cut_off)

    def __sub__(self, other: Money) -> Money:
        return Money(self.spent - other.spent, self.maybe - other.maybe, self.cut_off - other.cut_off)

    @property
    def gone(self) -> int:
        return self.spent + self.maybe


def money_in(folder: Path) -> Money:
    """What an attempt has spent, by its journal, and by its ledger for calls that no record tells of."""
    header = journal.read_header(folder / JOURNAL)
    if header is None:
        return Money()
    left = ledger.read(folder)
    replay = journal.Replay(folder / JOURNAL, count=header.count, first=header.first, left=left)
    for _ in replay:  # all of them are counted
        pass
    carried = replay.carried
    return Money(replay.cost + carried.paid, replay.maybe + carried.maybe, carried.cut_off)


def own_money(attempt: Path) -> Money:
    """What this attempt has spent itself, without the attempts before it."""
    return money_in(attempt) - inherited(attempt)


def inherited(folder: Path) -> Money:
    """How much of an attempt's money was spent by the attempt before it, whose answers it took over."""
    try:
        return msgspec.json.decode((folder / INHERITED).read_bytes(), type=Money)
    except FileNotFoundError:
        return Money()
