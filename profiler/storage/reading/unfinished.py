"""Looks into a run that has not ended: the journal has every answer, the ordered log perhaps not yet.

It changes nothing and takes no lock, so it may look while the run goes on. What it found stays as it was: whoever reads it
twice finds the same answers, also when the run has gone on or has ended meanwhile.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from profiler.money.prices import dollars
from profiler.storage import journal, ledger
from profiler.storage.folder_lock import is_locked
from profiler.storage.names import JOURNAL, REQUESTS
from profiler.storage.pinned_file import PinnedFile
from profiler.storage.reading.read_logs import Asked, Got, damaged, lines_of, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from profiler.core.nouns import Outcome
    from profiler.storage.money import Money


Line = TypeVar("Line")
Record = TypeVar("Record")


class Unfinished:
    """What the journal of a run, or of a part of one, says. `places` has the offset of each item's record, 0 where there is none.

    The files are looked at in this order: the ledger, the journal, the questions. So a call that ends meanwhile is in one
    of the first two, and each answer has its question.
    """

    def __init__(self, folder: Path, kept: PinnedFile, header: journal.Header, left: ledger.Left | None) -> None:
        self.folder = folder
        self.header = header
        self.places = array("q", bytes(8 * header.count))
        self.kept = 0
        self._journal = kept
        self._replayed = journal.Replay(kept, count=header.count, first=header.first, left=left)
        for place in self._replayed:
            number = place.entry.index - header.first
            self.kept += not self.places[number]
            self.places[number] = place.offset  # the later record of a dialogue that was asked again
        self._requests = _pinned(folder / REQUESTS)

    def outcomes(self) -> Iterator[Outcome]:
        """The outcomes of all kept answers, in dataset order."""
        for index, expected, got in self._kept(Asked, Got):
            if expected is not None and expected.dialogue_id != got.dialogue_id:
                raise damaged(
                    self.folder / JOURNAL,
                    f"has {got.dialogue_id!r} as number {index}, {REQUESTS} {expected.dialogue_id!r}",
                )
            yield outcome_of(expected or Asked(got.dialogue_id), got)

    def lines(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """All kept answers in dataset order, as the line of what was asked and the line of what came back.

        The former is empty where it has not been written yet.
        """
        for _, request, record in self._kept(dict[str, Any], dict[str, Any]):
            yield request or {}, record

    def _kept(self, request: type[Line], record: type[Record]) -> Iterator[tuple[int, Line | None, Record]]:
        decode = msgspec.json.Decoder(record).decode
        with self._journal.open() as file:
            for index, asked in enumerate(self._asked(request)):
                if place := self.places[index]:
                    file.seek(place)
                    yield index, asked, decode(file.readline())

    def _asked(self, kind: type[Line]) -> Iterator[Line | None]:
        """What was asked; None where the line of a kept answer has not been written yet."""
        decode = msgspec.json.Decoder(kind).decode
        written = lines_of(self._requests, decode, complete=False) if self._requests is not None else ()
        number = 0
        for number, line in enumerate(written, 1):
            if number > self.header.count:
                return
            yield line
        for _ in range(number, self.header.count):
            yield None

    def facts(self) -> dict[str, Any]:
        """The `run` part of the summary."""
        sessions = self._replayed.sessions
        return facts_of(self.folder, self.header, kept=self.kept, money=self._replayed.money, sessions=sessions)


def facts_of(
    folder: Path, header: journal.Header, *, kept: int, money: Money, sessions: list[dict[str, Any]]
) -> dict[str, Any]:
    """What the summary says of a run that has not ended."""
    identity = header.identity
    live = identity.get("mode") == "live"
    return {
        "experiment_id": identity.get("experiment_id", folder.resolve().name),
        "state": "running" if is_locked(folder) else "unfinished",
        "mode": identity.get("mode", "unknown"),
        **header.counts,
        "kept": kept,
        "spent_usd": dollars(money.spent) if live else None,
        "maybe_billed_usd": dollars(money.maybe) if live else None,
        "started": header.started,
        "sessions": sessions if live else None,
        "identity": identity,
    }


def unfinished(folder: Path) -> Unfinished | None:
    """The unfinished run in a folder; None when none has begun there or when it is complete."""
    path = folder / JOURNAL
    try:
        left = ledger.read(folder) if path.exists() else None
        kept = _pinned(path)
        header = journal.read_header(kept) if kept is not None else None
        return None if kept is None or header is None else Unfinished(folder, kept, header, left)
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror or error}") from error


def _pinned(path: Path) -> PinnedFile | None:
    try:
        return PinnedFile(path)
    except FileNotFoundError:
        return None
