"""journal.jsonl, the truth of a run while it is unfinished: every record, in the order in which dialogues ended.

The first line, the header, says which run this is. Every other line is a record, or notes that a session began or ended
its work on the run. Replaying the journal tells which dialogues are done and where their records stand.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec

from profiler.core.errors import LogError, Problem, RunDirectoryError
from profiler.core.json import DecodeError, dump_line, loads
from profiler.core.nouns import Failure, RecordType
from profiler.money.prices import pico
from profiler.storage.ledger import Left
from profiler.storage.line_file import LineFile
from profiler.storage.money import Money

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from profiler.storage.pinned_file import Log

FORMAT = 2
LOOKED_AT = 1_000  # failed dialogues, of which the first that was not answered later is named
SESSION = b'{"session":'
BLOCK = 1 << 16  # bytes of lines that are decoded at once
WRONG = (DecodeError, ValueError, RecursionError)


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which run a journal belongs to; runs with the same `identity` ask the same and may share answers.

    `count` says how many answers it has when it is complete. `dataset_stamp` is not part of the identity: as long as the
    file keeps it, nobody has written to the dataset. `first` is the index of the first item; only the parts of a run that
    several processes share begin elsewhere than at 0.
    """

    journal: int
    count: Annotated[int, msgspec.Meta(ge=0)]
    identity: dict[str, Any]
    started: str | None
    dataset_stamp: tuple[int, ...] | None = None
    first: int = 0

    @property
    def repeats(self) -> int:
        """How often each dialogue is asked."""
        found: int = self.identity.get("repeats", 1)
        return found

    @property
    def counts(self) -> dict[str, int]:
        """How many dialogues there are, and how many items where each is asked several times."""
        repeated = {"repeats": self.repeats, "items": self.count} if self.repeats > 1 else {}
        return {"dialogues": self.count // self.repeats, **repeated}


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The part of a record that a replay needs."""

    index: int
    type: RecordType
    cost_usd: float | None = None
    maybe_usd: float | None = None
    reused_from: str | None = None


class RecordPlace(msgspec.Struct, frozen=True, gc=False):
    """One record of a journal, and where its line stands."""

    entry: Entry
    offset: int
    size: int


class _Bad(NamedTuple):
    """A line that is neither a record nor of a session."""

    number: int
    reason: str


class Failed(msgspec.Struct, frozen=True):
    """Which dialogue a record is of, and why it has no answer."""

    dialogue_id: str
    index: int
    error: Failure | None = None


def begin(file: LineFile, header: Header) -> None:
    """Write the header. Until that line is whole, there is no run to resume."""
    if file.size:
        file.cut(0)
    file.write(dump_line(msgspec.to_builtins(header)))


def session_line(session: dict[str, Any]) -> bytes:
    return dump_line({"session": session})


def add_session(sessions: list[dict[str, Any]], session: dict[str, Any]) -> None:
    """Add what a session says of itself.

    At its end it says everything again, which replaces what it said at its beginning.
    """
    if sessions and "finished" not in sessions[-1] and sessions[-1].get("started") == session.get("started"):
        sessions[-1] = session
    else:
        sessions.append(session)


def read_header(path: Log) -> Header | None:
    """The header; None when there is no journal, or when it was cut off in its first line."""
    try:
        with path.open("rb") as file:
            line = file.readline()
    except FileNotFoundError:
        return None
    if not line.endswith(b"\n"):
        return None
    try:
        header = msgspec.json.decode(line, type=Header)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(path, 1, str(error)) from error
    if header.journal != FORMAT:
        raise RunDirectoryError(
            f"{path}: found an unfinished run of journal format {header.journal}, this version writes {FORMAT}",
            hint="finish this run with the version that began it, or start over with --fresh, which moves it aside",
        )
    return header


def first_failure(path: Log) -> Failed | None:
    """The first dialogue that has ended in an error and has not been answered since, with the last of its errors."""
    decode, found = msgspec.json.Decoder(Failed).decode, dict[int, Failed]()
    with path.open("rb") as file:
        file.readline()  # the header
        for record in (decode(line) for line in file if not line.startswith(SESSION)):
            if record.error is None:
                found.pop(record.index, None)
            elif record.index in found or len(found) < LOOKED_AT:
                found[record.index] = record  # which leaves it in its place
    return next(iter(found.values()), None)


def header_size(path: Log) -> int:
    with path.open("rb") as file:
        return len(file.readline())


class Replay:
    """Iterates over the records after the header; an incomplete line at the end (a torn tail) is left out.

    A bad line with a whole one behind it is damage, not a torn tail: that raises an error which names the first bad
    line. After the iteration `sessions` holds what sessions said, and `end` is where the last whole line ends. `left` is the
    ledger, read before the journal.
    """

    def __init__(self, path: Log, *, count: int, first: int = 0, left: Left | None = None) -> None:
        self.sessions: list[dict[str, Any]] = []
        self.end = header_size(path)
        self._cost = self._maybe = 0  # of all records together, in pico-dollars
        self._path = path
        self._count = count
        self._first = first
        self._left = left
        self._underway = frozenset(each.dialogue for each in left.underway) if left is not None else frozenset()
        # Before it stand records of earlier sessions: they say nothing of a call that asks their dialogue once more.
        self._since = left.journal_size if left is not None else 0
        self._late: set[int] = set()  # dialogues of the ledger whose record reached the journal after all

    @property
    def carried(self) -> Money:
        """What no record tells: the money of dialogues that the ledger has and that were cut off in their call."""
        return Money() if self._left is None else self._left.settled(self._late.__contains__)

    @property
    def money(self) -> Money:
        """What all records tell, and the ledger beside them."""
        return Money(self._cost, self._maybe) + self.carried

    def __iter__(self) -> Iterator[RecordPlace]:
        """Lines are decoded a block at a time, in a loop in C; one by one where one of them is no record."""
        decode = msgspec.json.Decoder(Entry).decode
        bad: _Bad | None = None
        number = 2
        with self._path.open("rb") as file:
            file.seek(self.end)
            while block := file.readlines(BLOCK):
                torn = not block[-1].endswith(b"\n")
                try:
                    entries = None if torn or bad else list(map(decode, block))
                except WRONG:
                    entries = None
                if entries is None:
                    bad = yield from self._one_by_one(block, number, bad)
                else:
                    yield from map(self._place, block, entries, count(number))
                number += len(block)
                if torn:
                    return

    def _one_by_one(
        self, block: list[bytes], first: int, bad: _Bad | None
    ) -> Generator[RecordPlace, None, _Bad | None]:
        """The records of a block up to its first wrong line, which is returned. `bad` is one that came before."""
        for number, line in enumerate(block, first):
            try:
                found = loads(line)["session"] if line.startswith(SESSION) else msgspec.json.decode(line, type=Entry)
            except WRONG as error:
                # Whether this is a torn tail or damage shows only with the next line, so the error waits.
                bad = bad or _Bad(number, str(error))
                continue
            if bad is not None:
                raise _damaged(self._path, *bad)
            if not line.endswith(b"\n"):
                break
            if isinstance(found, Entry):
                yield self._place(line, found, number)
            else:
                add_session(self.sessions, found)
                self.end += len(line)
        return bad

    def _place(self, line: bytes, entry: Entry, number: int) -> RecordPlace:
        if not 0 <= entry.index - self._first < self._count:
            raise _damaged(self._path, number, f"index {entry.index} of {self._count} items")
        offset, size = self.end, len(line)
        self.end = offset + size
        if entry.cost_usd:
            self._cost += pico(entry.cost_usd)
        if entry.maybe_usd:
            self._maybe += pico(entry.maybe_usd)
        if offset >= self._since and entry.index in self._underway:
            self._late.add(entry.index)
        return RecordPlace(entry, offset, size)


def _damaged(path: Log, number: int, reason: str) -> LogError:
    return LogError(
        [
            Problem(
                path=str(path),
                line=number,
                message=f"found a line that is no record ({reason}), expected one JSON object a line",
                hint=("remove that line to ask its dialogue again, or " if number > 1 else "")
                + "start over with --fresh",
            )
        ]
    )
