"""What a candidate for a range of a run has spent, by its own files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from profiler.storage import journal, ledger
from profiler.storage.money import Money
from profiler.storage.names import INHERITED, JOURNAL

if TYPE_CHECKING:
    from pathlib import Path


def money_in(folder: Path) -> Money:
    """What a candidate has spent, by its journal, and by its ledger for calls that no record tells of."""
    header = journal.read_header(folder / JOURNAL)
    if header is None:
        return Money()
    left = ledger.read(folder)
    replay = journal.Replay(folder / JOURNAL, count=header.count, first=header.first, left=left)
    for _ in replay:  # all of them are counted
        pass
    return replay.money


def own_money(candidate: Path) -> Money:
    """What this candidate has spent itself, without the candidates before it."""
    return money_in(candidate) - inherited(candidate)


def inherited(folder: Path) -> Money:
    """How much of a candidate's money was spent by the candidate before it, whose answers it took over."""
    try:
        return msgspec.json.decode((folder / INHERITED).read_bytes(), type=Money)
    except FileNotFoundError:
        return Money()
