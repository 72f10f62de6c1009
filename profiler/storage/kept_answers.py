"""Which answers an earlier run in the same folder has already, for the dry run.

It takes no lock and changes nothing, so it may look while that run goes on.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from profiler.dataset.selection import ALL, Selection
from profiler.money.prices import dollars, pico
from profiler.provider.source import source_of
from profiler.storage import journal, ledger, run_directory
from profiler.storage.identity import examine
from profiler.storage.identity_differences import differences
from profiler.storage.names import JOURNAL
from profiler.storage.reading.read_logs import read_outcomes
from profiler.storage.reading.unfinished_fleet import UnfinishedFleet
from profiler.storage.run_directory import Earlier
from profiler.storage.shared_runs.range_table import read_table
from profiler.storage.shared_runs.ranges import RangeFolders

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.manifest.settings import Experiment


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """`done` has a 1 for each item that is not asked again. `differs` says why the folder holds another run."""

    done: bytearray = msgspec.field(default_factory=bytearray)
    billed_usd: float = 0.0
    differs: tuple[str, ...] = ()


def kept_answers(
    experiment: Experiment, *, folder: Path, selection: Selection = ALL, retry_failed: bool
) -> Kept | None:
    """What a live run in this folder would not ask again; None when nothing was run there."""
    table = read_table(folder)
    before = run_directory.earlier(folder) if table is None else Earlier(count=table.count, identity=table.identity)
    if before is None:
        return None
    source = source_of(experiment, mode="live", environ=os.environ)
    header = examine(experiment, source=source, selection=selection, before=before).header
    if lines := differences(before.identity, header.identity):
        return Kept(differs=tuple(lines))
    if table is not None:
        return Kept(done=UnfinishedFleet(folder, table).done(), billed_usd=dollars(RangeFolders(folder).money().gone))
    look = _complete if before.complete else _unfinished
    return look(folder, before, retry_failed=retry_failed)


def money_of(folder: Path) -> int | None:
    """What the run in a folder has spent so far, and may have, in pico-dollars; None where there is no run."""
    if read_table(folder) is not None:
        return RangeFolders(folder).money().gone
    before = run_directory.earlier(folder)
    if before is None:
        return None
    look = _complete if before.complete else _unfinished
    return pico(look(folder, before, retry_failed=False).billed_usd)


def _complete(folder: Path, before: Earlier, *, retry_failed: bool) -> Kept:
    facts = (before.summary or {})["run"]
    done = bytearray(b"\1" * before.count)
    if retry_failed:
        for index, outcome in enumerate(read_outcomes(folder)):
            done[index] = outcome.type != "error"
    return Kept(done=done, billed_usd=sum(facts.get(name) or 0.0 for name in ("spent_usd", "maybe_billed_usd")))


def _unfinished(folder: Path, before: Earlier, *, retry_failed: bool) -> Kept:
    """Read from the journal; the ledger tells the money of dialogues without a record."""
    done = bytearray(before.count)
    left = ledger.read(folder)
    replay = journal.Replay(folder / JOURNAL, count=before.count, left=left)
    for place in replay:
        done[place.entry.index] = not (retry_failed and place.entry.type == "error")
    return Kept(done=done, billed_usd=dollars(replay.money.gone))
