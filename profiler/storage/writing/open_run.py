"""Opens the files of a run, new or unfinished, and finds out what is answered and what it has cost."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import StorageError
from profiler.storage import journal, ledger
from profiler.storage.ledger import Ledger
from profiler.storage.line_file import LineFile, end_of_line
from profiler.storage.money import Money
from profiler.storage.names import JOURNAL, REQUESTS, RESPONSES
from profiler.storage.whole_file import sync_folder
from profiler.storage.writing.journal_file import JournalFile
from profiler.storage.writing.kept_lines import cut_requests, cut_responses
from profiler.storage.writing.ordered_log import Follower, OrderedLog
from profiler.storage.writing.reorder import Order
from profiler.storage.writing.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.storage.journal import Header
    from profiler.storage.ledger import Left
    from profiler.storage.writing.journal_file import Fsync


SMALL = 1 << 16


class OpenRun(msgspec.Struct, kw_only=True):
    """The files of a run under way, ready to be appended to, and what they held when they were opened.

    `done` has a 1 for each item that is not asked again; `kept` is how many these were at first, `answered` the number
    of those that were asked and are no errors. `end` is the index behind the last item, and `begun` that behind the
    last one which was looked at. `asked` counts the lines of requests.jsonl. `money` is that of all earlier sessions,
    `carried` the part of it that no record tells. `cut_off_now` counts the dialogues that were
    under way when the last session ended. `reused` counts the answers of earlier runs, those that are taken over in this
    session (`taken`) included. `sync`: what is left unfinished is on the device when the run is closed.
    """

    header: Header
    end: int
    begun: int = 0
    requests: LineFile
    journal: LineFile
    order: Order
    responses_size: int
    asked: int
    done: bytearray
    kept: int = 0
    taken: int = 0
    reused: int = 0
    answered: int = 0
    money: Money = Money()
    carried: Money = Money()
    cut_off_now: int = 0
    ledger: Ledger | None = None
    sessions: list[dict[str, Any]]
    notes: list[str]
    sync: bool

    @property
    def first(self) -> int:
        """The first item with something missing: its line in requests.jsonl, or its answer."""
        missing = self.done.find(0)
        return self.header.first + min(self.asked, missing if missing >= 0 else len(self.done))

    @property
    def folder(self) -> Path:
        return self.journal.path.parent

    @property
    def owed(self) -> int:
        return self.end - self.header.first - self.kept - self.taken

    def take(self, index: int) -> None:
        """Mark an item as done: the answer of an earlier run has been written down for it."""
        self.done[index - self.header.first] = 1
        self.taken += 1
        self.reused += 1

    def all_looked_at(self) -> None:
        """Every question is in requests.jsonl, and what was taken over in responses.jsonl as far as its turn has come."""
        path = self.folder / RESPONSES
        self.asked = self.end - self.header.first
        self.responses_size = path.stat().st_size if path.exists() else 0

    @property
    def small(self) -> bool:
        """Whether the logs are so small that counting them takes less time than starting a thread."""
        return self.requests.size + self.journal.size <= SMALL

    def writer(self, *, fields: tuple[str, ...] | None, fsync: Fsync) -> Writer:
        """The writer that appends to this run. `fields` are those that responses.jsonl keeps; None keeps all."""
        log = OrderedLog(self.folder / RESPONSES, size=self.responses_size, fields=fields)
        return Writer(
            requests=self.requests,
            journal=JournalFile(self.journal, fsync=fsync, ledger=self.ledger),
            responses=Follower(self.order, log),
        )

    def open_ledger(self) -> Ledger:
        """Open the ledger: from here on, what a call may cost is written down before it leaves."""
        ledger.begin(self.folder, self.carried, journal_size=self.journal.size)
        self.ledger = Ledger(self.folder)
        return self.ledger

    def tell_session(self, session: dict[str, Any]) -> None:
        """Note in the journal that a session begins or, with `finished`, how it ended."""
        self.journal.write(journal.session_line(session))
        journal.add_session(self.sessions, session)

    def force_journal(self) -> None:
        """Bring to the device what is not there yet. The names in a new folder get there too."""
        if self.sync and self.journal.unsynced:
            self.journal.sync()
            sync_folder(self.folder)

    def force(self) -> None:
        """Bring all to the device: the journal first, which vouches for the logs."""
        if self.sync:
            self.journal.sync()
            self.requests.sync()
            with LineFile(self.folder / RESPONSES) as responses:
                responses.sync()

    def close(self) -> None:
        """Close the files that are open, after what was written to the journal is on the device."""
        with suppress(StorageError):  # an error is why something is left, and that one is told
            self.force_journal()
        self.order.close()
        self.requests.close()
        self.journal.close()
        if self.ledger is not None:
            self.ledger.close()
            self.ledger = None


def begin(folder: Path, header: Header, *, sync: bool, at_once: bool = True) -> OpenRun:
    """Begin a new run in an empty folder.

    `at_once`: the header is on the device before anything else is. Otherwise it gets there with the first records.
    """
    with ExitStack() as opened:
        journal_file = opened.enter_context(LineFile(folder / JOURNAL))
        journal.begin(journal_file, header)
        if sync and at_once:  # nothing that follows means anything without the header
            journal_file.sync()
            sync_folder(folder)
        run = OpenRun(
            header=header,
            end=header.first + header.count,
            requests=opened.enter_context(LineFile(folder / REQUESTS)),
            journal=journal_file,
            order=Order(journal_file.fd, folder=folder, first=header.first),
            responses_size=0,
            asked=0,
            done=bytearray(header.count),
            sessions=[],
            notes=[],
            sync=sync,
        )
        opened.pop_all()
    return run


def take_up(folder: Path, header: Header, *, retry_failed: bool, sync: bool = True) -> OpenRun:
    """Open an unfinished run, and cut off torn lines and those that the journal does not vouch for."""
    notes: list[str] = []
    left = ledger.read(folder)
    with ExitStack() as opened:
        requests, asked = cut_requests(folder / REQUESTS, header, notes=notes, opened=opened)
        file = opened.enter_context(LineFile(folder / JOURNAL))
        with ExitStack() as meanwhile:
            responses, laid_out = cut_responses(folder / RESPONSES, header, notes=notes, opened=meanwhile)
            replayed = _replay(file, header, first=laid_out, retry_failed=retry_failed, left=left)
            if (end := replayed.records.end) < file.size:
                notes.append(f"{JOURNAL}: cut {file.size - end} bytes of a torn last line")
                file.cut(end)
            missing = replayed.done.find(0)
            # responses.jsonl has a line whose record is not in the journal (a power cut, or an error that is to be
            # retried): it and all lines behind it are laid out again.
            if 0 <= missing < laid_out:
                replayed.order.close()
                responses.cut(end_of_line(responses.path, missing))
                if not retry_failed:
                    lines = laid_out - missing
                    notes.append(f"{RESPONSES}: cut {lines} lines, the first of which {JOURNAL} does not hold")
                replayed = _replay(file, header, first=missing, retry_failed=retry_failed, left=left)
        carried = replayed.records.carried
        run = OpenRun(
            header=header,
            end=header.first + header.count,
            requests=requests,
            journal=file,
            order=replayed.order,
            responses_size=responses.size,
            asked=asked,
            done=replayed.done,
            kept=replayed.done.count(1),
            reused=replayed.reused,
            answered=replayed.answered,
            money=replayed.records.money,
            carried=carried,
            cut_off_now=carried.cut_off - (left.carried.cut_off if left is not None else 0),
            sessions=replayed.records.sessions,
            notes=notes,
            sync=sync,
        )
        opened.pop_all()
    return run


class _Replayed(msgspec.Struct, kw_only=True):
    """What a journal says. `records` have been gone through, and tell what they told on the way."""

    records: journal.Replay
    done: bytearray
    order: Order
    answered: int = 0
    reused: int = 0


def _replay(file: LineFile, header: Header, *, first: int, retry_failed: bool, left: Left | None) -> _Replayed:
    with ExitStack() as opened:
        order = opened.enter_context(Order(file.fd, folder=file.path.parent, first=header.first + first))
        records = journal.Replay(file.path, count=header.count, first=header.first, left=left)
        replayed = _Replayed(records=records, done=bytearray(header.count), order=order)
        for place in records:
            entry = place.entry
            if retry_failed and entry.type == "error":
                continue
            if entry.reused_from is not None:
                replayed.reused += 1
            else:
                replayed.answered += entry.type != "error"
            replayed.done[entry.index - header.first] = 1
            if entry.index >= order.next:
                order.note(entry.index, offset=place.offset, size=place.size)
        opened.pop_all()
    return replayed
