"""Looks into a run that several processes share and that has not ended, as if one process had it.

What is put together stands in its logs, what is committed behind it in folders of its own, and what is under way in the
journals of attempts. It changes nothing and takes no lock, so it may look while the run goes on.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from profiler.money.prices import dollars
from profiler.storage.folder_lock import is_locked
from profiler.storage.names import REQUESTS, RESPONSES
from profiler.storage.reading.read_logs import lines_of, moved_on, read_outcomes
from profiler.storage.reading.unfinished import Unfinished, unfinished
from profiler.storage.shared_runs.range_table import read_table
from profiler.storage.shared_runs.ranges import Merged, RangeFolders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from profiler.core.nouns import Outcome
    from profiler.storage.shared_runs.range_table import Table

_plain = msgspec.json.Decoder(dict[str, Any]).decode


class Piece(NamedTuple):
    """Items that follow each other: complete logs from `first` on, or what an attempt has so far."""

    folder: Path
    first: int
    items: int
    attempt: Unfinished | None = None

    def outcomes(self) -> Iterator[Outcome]:
        if self.attempt is not None:
            yield from self.attempt.outcomes()
        elif self.items:
            yield from islice(read_outcomes(self.folder, complete=False, first=self.first), self.items)

    def lines(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        if self.attempt is not None:
            yield from self.attempt.lines()
        elif self.items:
            requests, responses = (
                lines_of(self.folder / name, _plain, complete=False) for name in (REQUESTS, RESPONSES)
            )
            yield from islice(zip(requests, responses, strict=False), self.items)


class UnfinishedFleet:
    """An unfinished run that several processes share: its answers, and the facts about it."""

    def __init__(self, folder: Path, table: Table) -> None:
        self.folder = folder
        self._table = table
        self._folders = RangeFolders(folder)
        self._merged = self._folders.merged() or Merged(counted=msgspec.Raw(b"{}"))
        self._pieces = list(self._found())
        self.kept = sum(piece.items for piece in self._pieces)

    def kept_of(self, belongs: Callable[[int], bool]) -> int:
        """How many items are answered but not put together yet, in the pieces whose first index `belongs`."""
        return sum(piece.items for piece in self._pieces[1:] if belongs(piece.first))

    def _found(self) -> Iterator[Piece]:
        at, end = self._merged.end, self._table.count
        yield Piece(self.folder, 0, at)
        attempts = {each.first: each for each in self._folders.attempts()}  # the last of each
        begun = sorted({*attempts, *self._folders.all_done(), end})
        while at < end:
            if (committed := self._folders.committed(at)) is not None:
                yield Piece(self._folders.done(at), at, committed.end - at)
                at = committed.end
                continue
            if at in attempts and (found := unfinished(attempts[at].folder)) is not None:
                yield Piece(attempts[at].folder, at, found.kept, found)
            at = next(each for each in begun if each > at)

    def done(self) -> bytearray:
        """A 1 for each item that has an answer."""
        found = bytearray(self._table.count)
        for piece in self._pieces:
            if piece.attempt is None:
                found[piece.first : piece.first + piece.items] = b"\1" * piece.items
            else:
                for number, place in enumerate(piece.attempt.places, piece.first):
                    if place:
                        found[number] = 1
        return found

    def outcomes(self) -> Iterator[Outcome]:
        """The outcomes of all kept answers, in dataset order."""
        for piece in self._pieces:
            try:
                yield from piece.outcomes()
            except FileNotFoundError as error:
                raise moved_on(piece.folder) from error

    def lines(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """The same, as what was asked and what came back."""
        for piece in self._pieces:
            try:
                yield from piece.lines()
            except FileNotFoundError as error:
                raise moved_on(piece.folder) from error

    def facts(self) -> dict[str, Any]:
        """The `run` part of the summary."""
        table, identity = self._table, self._table.identity
        live, money = identity.get("mode") == "live", self._folders.money()
        return {
            "experiment_id": identity.get("experiment_id", self.folder.resolve().name),
            "state": "running" if is_locked(self.folder) else "unfinished",
            "mode": identity.get("mode", "unknown"),
            **table.header.counts,
            "kept": self.kept,
            "spent_usd": dollars(money.spent) if live else None,
            "maybe_billed_usd": dollars(money.maybe) if live else None,
            "started": table.started,
            "sessions": self._merged.sessions if live else None,
            "identity": identity,
        }


def begun(folder: Path) -> Unfinished | UnfinishedFleet | None:
    """The unfinished run in a folder, by one process or by several; None where none has begun or where it is complete."""
    found = unfinished(folder)
    if found is not None:
        return found
    table = read_table(folder)
    return None if table is None else UnfinishedFleet(folder, table)
