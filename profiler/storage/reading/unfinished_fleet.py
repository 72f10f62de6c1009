"""Looks into a run that several processes share and that has not ended, as if one process had it.

What is put together stands in its logs, what is committed behind it in folders of its own, and what is under way in the
journals of candidates. It changes nothing and takes no lock, so it may look while the run goes on.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from profiler.storage.names import REQUESTS, RESPONSES
from profiler.storage.pinned_file import PinnedFile
from profiler.storage.reading.read_logs import joined, lines_of, moved_on
from profiler.storage.reading.unfinished import Unfinished, facts_of, unfinished
from profiler.storage.shared_runs.range_table import read_table
from profiler.storage.shared_runs.ranges import Merged, RangeFolders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from profiler.core.nouns import Outcome
    from profiler.storage.pinned_file import Log
    from profiler.storage.shared_runs.range_table import Table

LOOKS: Final = 20  # at a run whose parts are put together while one looks

_plain = msgspec.json.Decoder(dict[str, Any]).decode


class Piece(NamedTuple):
    """Items that follow each other: complete logs from `first` on, or what a candidate has so far."""

    first: int
    items: int
    logs: tuple[Log, Log] | None = None
    candidate: Unfinished | None = None

    def outcomes(self) -> Iterator[Outcome]:
        if self.candidate is not None:
            yield from self.candidate.outcomes()
        elif self.logs is not None:
            yield from islice(joined(*self.logs, complete=False, first=self.first), self.items)

    def lines(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        if self.candidate is not None:
            yield from self.candidate.lines()
        elif self.logs is not None:
            requests, responses = (lines_of(log, _plain, complete=False) for log in self.logs)
            yield from islice(zip(requests, responses, strict=False), self.items)


def _logs(folder: Path) -> tuple[Log, Log]:
    return _log(folder / REQUESTS), _log(folder / RESPONSES)


def _log(path: Path) -> Log:
    """The log as it is now; only its path where it is not on this machine, as in a run whose machines each hold a part."""
    try:
        return PinnedFile(path)
    except FileNotFoundError:
        return path


class UnfinishedFleet:
    """An unfinished run that several processes share: its answers, and the facts about it, as they were at one moment."""

    def __init__(self, folder: Path, table: Table) -> None:
        self.folder = folder
        self._table = table
        self._folders = RangeFolders(folder)
        self._look()
        self.kept = sum(piece.items for piece in self._pieces)

    def _look(self) -> None:
        """Find the pieces and what they have cost, again where one was committed or put together meanwhile."""
        for _ in range(LOOKS):
            self._merged = self._folders.merged() or Merged(counted=msgspec.Raw(b"{}"))
            try:
                self._money = self._folders.money()
                self._pieces = list(self._found())
            except FileNotFoundError:
                continue
            now = self._folders.merged()
            if now is None or now.end == self._merged.end:
                return
        raise moved_on(self.folder)

    def kept_of(self, belongs: Callable[[int], bool]) -> int:
        """How many items are answered but not put together yet, in the pieces whose first index `belongs`."""
        return sum(piece.items for piece in self._pieces[1:] if belongs(piece.first))

    def _found(self) -> Iterator[Piece]:
        at, end = self._merged.end, self._table.count
        yield Piece(0, at, _logs(self.folder) if at else None)
        candidates = {each.first: each for each in self._folders.candidates()}  # the last of each
        begun = sorted({*candidates, *self._folders.all_done(), end})
        while at < end:
            if (committed := self._folders.committed(at)) is not None:
                yield Piece(at, committed.end - at, _logs(self._folders.done(at)))
                at = committed.end
                continue
            if at in candidates:
                if (found := unfinished(candidates[at].folder)) is not None:
                    yield Piece(at, found.kept, candidate=found)
                elif not candidates[at].folder.exists():
                    raise FileNotFoundError(candidates[at].folder)
            at = next(each for each in begun if each > at)

    def done(self) -> bytearray:
        """A 1 for each item that has an answer."""
        found = bytearray(self._table.count)
        for piece in self._pieces:
            if piece.candidate is None:
                found[piece.first : piece.first + piece.items] = b"\1" * piece.items
            else:
                for number, place in enumerate(piece.candidate.places, piece.first):
                    if place:
                        found[number] = 1
        return found

    def outcomes(self) -> Iterator[Outcome]:
        """The outcomes of all kept answers, in dataset order."""
        for piece in self._pieces:
            yield from piece.outcomes()

    def lines(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """The same, as what was asked and what came back."""
        for piece in self._pieces:
            yield from piece.lines()

    def facts(self) -> dict[str, Any]:
        """The `run` part of the summary."""
        header, sessions = self._table.header, self._merged.sessions
        return facts_of(self.folder, header, kept=self.kept, money=self._money, sessions=sessions)


def begun(folder: Path) -> Unfinished | UnfinishedFleet | None:
    """The unfinished run in a folder, by one process or by several; None where none has begun or where it is complete."""
    found = unfinished(folder)
    if found is not None:
        return found
    table = read_table(folder)
    return None if table is None else UnfinishedFleet(folder, table)
