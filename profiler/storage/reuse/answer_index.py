"""Where answers of earlier runs stand, found by what was asked.

The index lies on disk, in a database without a name that vanishes with the process, so memory does not grow with the
number of answers. Nothing of an answer is copied into it. It can be saved under a name, for other processes to look into.
"""

from __future__ import annotations

import sqlite3
from binascii import crc32
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from profiler.core.errors import UsageError
from profiler.storage.whole_file import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

CACHE_KIB = 8 << 10
KEY_DIGITS = 32  # of the 64 of a request hash: no two of any number of requests share so many by chance

TABLE = "CREATE TABLE answer (asked BLOB, repeat INTEGER, source INTEGER, run INTEGER, dialogue INTEGER, at INTEGER, size INTEGER)"
INDEX = "CREATE INDEX by_question ON answer (asked, repeat, source, run, dialogue, at, size)"
INSERT = "INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)"
FIRST = (
    "SELECT rowid, run, at, size, dialogue FROM answer WHERE asked = ? AND repeat = ? AND source = ? AND run <> ? "
    "ORDER BY run, dialogue LIMIT 1"
)
NEXT = "SELECT run, at, size, dialogue, asked, repeat FROM answer WHERE rowid = ?"
OF_DIALOGUE = (
    "SELECT rowid, run, at, size, dialogue FROM answer WHERE asked = ? AND repeat = ? AND source = ? AND run = ? "
    "AND dialogue = ? LIMIT 1"
)


class Answer(NamedTuple):
    """An answer of a run: to which request, which of its repeats, of which dialogue; and where its line stands."""

    request_hash: str
    repeat: int
    dialogue_id: str
    at: int
    size: int


class Place(NamedTuple):
    """Where an answer stands: the number of its run, and its line in a file of that run."""

    run: int
    at: int
    size: int


class AnswerIndex:
    """Answers are added run by run, then looked up.

    Most runs are looked up in the order in which they were added. So the one after the last that was found is looked at
    first: it lies beside that one, while the index has to be searched from its root.
    """

    def __init__(self, saved: Path | None = None) -> None:
        """A new one, or one that was saved, which is only looked into."""
        self.about = b""
        self._next = 1
        self._first_of: dict[int, int] = {}  # for each source, the run whose answers are preferred
        if saved is None:
            self._db = sqlite3.connect("", isolation_level=None)
            self._set("journal_mode = OFF", "synchronous = OFF", "temp_store = FILE")
            self._db.execute(TABLE)
        else:  # nobody changes it, so nobody needs the locks of a database, which some file systems do not have
            self._db = sqlite3.connect(f"{saved.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            self._set()
            self._first_of.update(self._db.execute("SELECT source, run FROM preferred"))
            [(self.about,)] = self._db.execute("SELECT text FROM about")

    def _set(self, *more: str) -> None:
        for setting in (f"cache_size = -{CACHE_KIB}", *more):
            self._db.execute(f"PRAGMA {setting}")

    def add(self, answers: Iterable[Answer], *, run: int, source: int) -> int:
        """Add the answers of a run, and return how many there were."""
        rows = (
            (_key(each.request_hash), each.repeat, source, run, crc32(each.dialogue_id.encode()), each.at, each.size)
            for each in answers
        )
        with _on_disk():
            self._db.execute("BEGIN")
            added = self._db.executemany(INSERT, rows).rowcount
            self._db.execute("COMMIT")
        if added > 0:
            self._first_of.setdefault(source, run)
        return max(0, added)

    def all_added(self) -> None:
        """Sort what was added. Sorting once takes a third of the time that adding in order does."""
        with _on_disk():
            self._db.execute(INDEX)

    def find(self, request_hash: str, *, repeat: int, source: int, dialogue_id: str, but: int = -1) -> Place | None:
        """The answer of the first run that has one, the run number `but` aside.

        Of dialogues that ask the same, the one with the same id is preferred: each gets back what it was answered.
        """
        asked, dialogue = _key(request_hash), crc32(dialogue_id.encode())
        first, find = self._first_of.get(source), self._db.execute
        if first is not None and first != but:
            found = find(NEXT, (self._next,)).fetchone()
            if found is not None and found[3:] == (dialogue, asked, repeat) and found[0] == first:
                self._next += 1
                return Place(*found[:3])
        found = find(FIRST, (asked, repeat, source, but)).fetchone()
        if found is not None and found[4] != dialogue:
            found = find(OF_DIALOGUE, (asked, repeat, source, found[1], dialogue)).fetchone() or found
        if found is None:
            return None
        self._next = found[0] + 1
        return Place(*found[1:4])

    def save(self, path: Path, *, about: bytes) -> None:
        """Copy it to a file, in the place of one that was there. `about` is kept with it."""
        draft = path.with_name(f".{path.name}.tmp")
        draft.unlink(missing_ok=True)
        with _on_disk(), closing(sqlite3.connect(draft, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous = OFF")
            self._db.backup(copy)
            copy.execute("CREATE TABLE preferred (source INTEGER, run INTEGER)")
            copy.executemany("INSERT INTO preferred VALUES (?, ?)", self._first_of.items())
            copy.execute("CREATE TABLE about (text BLOB)")
            copy.execute("INSERT INTO about VALUES (?)", (about,))
        replace(draft, path)

    def close(self) -> None:
        self._db.close()


@contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise UsageError(
            f"--reuse: the index of the answers cannot be written to the disk: {error}",
            hint="make room where temporary files lie, or name another place with SQLITE_TMPDIR",
        ) from error


def _key(request_hash: str) -> bytes:
    return bytes.fromhex(request_hash[:KEY_DIGITS])
