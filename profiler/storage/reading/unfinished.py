"""Looks into a run that has not ended: the journal has every answer, the ordered log perhaps not yet.

It changes nothing and takes no lock, so it may look while the run goes on.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from profiler.money.prices import dollars, pico
from profiler.storage import journal, ledger
from profiler.storage.folder_lock import is_locked
from profiler.storage.names import JOURNAL, REQUESTS
from profiler.storage.reading.read_logs import Asked, Got, damaged, lines_of, moved_on, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.core.nouns import Outcome


Line = TypeVar("Line")
Record = TypeVar("Record")


class Unfinished(msgspec.Struct, kw_only=True):
    """What the journal of a run, or of a part of one, says. `places` has the offset of each item's record, 0 where there is none."""

    folder: Path
    header: journal.Header
    places: array[int]
    kept: int = 0
    cost: int = 0
    maybe: int = 0
    sessions: list[dict[str, Any]] = []

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
        """The same, as what was asked and what came back; the former is empty where it has not been written yet."""
        for _, request, record in self._kept(dict[str, Any], dict[str, Any]):
            yield request or {}, record

    def _kept(self, request: type[Line], record: type[Record]) -> Iterator[tuple[int, Line | None, Record]]:
        decode = msgspec.json.Decoder(record).decode
        path = self.folder / JOURNAL
        try:
            journal_file = path.open("rb")
        except FileNotFoundError as error:
            raise moved_on(path) from error
        with journal_file as file:
            for index, asked in enumerate(self._asked(request)):
                if place := self.places[index]:
                    file.seek(place)
                    yield index, asked, decode(file.readline())

    def _asked(self, kind: type[Line]) -> Iterator[Line | None]:
        """What was asked; None where the line of a kept answer has not been written yet."""
        requests = self.folder / REQUESTS
        written = lines_of(requests, msgspec.json.Decoder(kind).decode, complete=False) if requests.exists() else ()
        number = 0
        for number, line in enumerate(written, 1):
            if number > self.header.count:
                return
            yield line
        for _ in range(number, self.header.count):
            yield None

    def facts(self) -> dict[str, Any]:
        """The `run` part of the summary."""
        identity = self.header.identity
        live = identity.get("mode") == "live"
        spent, maybe = self.money()
        return {
            "experiment_id": identity.get("experiment_id", self.folder.resolve().name),
            "state": "running" if is_locked(self.folder) else "unfinished",
            "mode": identity.get("mode", "unknown"),
            **self.header.counts,
            "kept": self.kept,
            "spent_usd": dollars(spent) if live else None,
            "maybe_billed_usd": dollars(maybe) if live else None,
            "started": self.header.started,
            "sessions": self.sessions if live else None,
            "identity": identity,
        }

    def money(self) -> tuple[int, int]:
        """What was spent and what may have been billed, in pico-dollars: from the records, and from the ledger for other calls."""
        left = ledger.read(self.folder)
        if left is None:
            return self.cost, self.maybe
        first, count = self.header.first, len(self.places)
        carried = left.settled(lambda index: 0 <= index - first < count and self.places[index - first] > 0)
        return self.cost + carried.paid, self.maybe + carried.maybe


def unfinished(folder: Path) -> Unfinished | None:
    """The unfinished run in a folder; None when none has begun there or when it is complete."""
    path = folder / JOURNAL
    try:
        header = journal.read_header(path)
        if header is None:
            return None
        found = Unfinished(folder=folder, header=header, places=array("q", bytes(8 * header.count)))
        replay = journal.Replay(path, count=header.count, first=header.first)
        for place in replay:
            number = place.entry.index - header.first
            found.kept += not found.places[number]
            found.places[number] = place.offset  # the later record of a dialogue that was asked again
            found.cost += pico(place.entry.cost_usd or 0.0)
            found.maybe += pico(place.entry.maybe_usd or 0.0)
    except FileNotFoundError as error:
        raise moved_on(path) from error
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror or error}") from error
    found.sessions = replay.sessions
    return found
