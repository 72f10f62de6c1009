"""How a run that several processes share lies on disk: its items are cut into ranges, and each is answered in a folder of
its own.

`fleet/table.json` says what the ranges are. `fleet/attempts/FIRST.N/` is the N-th candidate for the items from FIRST on: a
run directory of its own, in which one process works. `fleet/done/FIRST/` is a candidate that was committed: a rename, which
only one candidate can win. It says itself how far it reaches, so a process may leave the rest of its range to others, and
whoever walks from one committed end to the next beginning finds every item once, whatever a lost process still commits.
"""

from __future__ import annotations

import errno
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from profiler.core.errors import LogError, Problem, StorageError
from profiler.core.json import DecodeError
from profiler.storage.folder_lock import is_locked
from profiler.storage.money import Money
from profiler.storage.names import COMMITTED, FLEET, REQUESTS, RESPONSES, SCORES, TABLE
from profiler.storage.shared_runs.candidate_money import own_money
from profiler.storage.shared_runs.commits import read_committed
from profiler.storage.shared_runs.range_table import Table, read_table
from profiler.storage.shared_runs.taking_over import drafted
from profiler.storage.whole_file import remove, sync_folder, write_first, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from profiler.storage.shared_runs.commits import Committed

WON_BY_ANOTHER: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT})


class Merged(msgspec.Struct, kw_only=True):
    """How far a run is put together: the items before `end` are in its logs, up to these `sizes`, and `money` is what they
    have cost.

    Other candidates for these items may still be written to, by a process that everybody takes for dead. `others` is what was
    counted of them so far, by their first index, and `twice` the part of it that bought answers which were not needed.
    `winners` are first indexes of committed candidates that are counted in `money`, and perhaps not removed yet. `told` has what
    each of the last candidates that are counted in `money` had spent itself, or may have, by the names of their folders, which are
    gone: its worker may die before it has said so. `by_shard` has what each shard had spent, or may have, when it began to be
    put together.
    """

    end: int = 0
    sizes: dict[str, int] = {}
    counted: msgspec.Raw
    money: Money = Money()
    twice: Money = Money()
    others: dict[int, Money] = {}
    winners: list[int] = []
    told: dict[str, int] = {}
    sessions: list[dict[str, Any]] = []
    by_shard: list[int] = []


class Candidate(msgspec.Struct, frozen=True):
    """A folder in which one process answers the items from `first` on."""

    first: int
    number: int
    folder: Path


def _every(_: int) -> bool:
    return True


class RangeFolders:
    """The folders of a run that several processes share."""

    def __init__(self, run: Path) -> None:
        self.root = run / FLEET
        self.dialogues = self.root / "dialogues.jsonl"  # the copy, where the dataset's file has no places
        self.scores = self.root / "scores.jsonl"  # grows here; a complete run has it under its own name
        self.logs = self.root / "logs"
        self.surveyed = self.root / "surveyed"  # only there while the dataset is surveyed in slices
        self.sessions = self.root / "sessions"  # what shards say of theirs
        self._candidates = self.root / "attempts"  # as they were once called, and still are in files
        self._done = self.root / "done"

    def begin(self, table: Table) -> Table:
        """From here on there is a run to go on with: that of the first who came, whose table is returned."""
        self.make()
        write_first(self.root.parent / TABLE, msgspec.json.encode(table))
        return self.table() or table

    def make(self) -> None:
        try:
            for folder in (self._candidates, self._done, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(self.root, error) from error

    def table(self) -> Table | None:
        return read_table(self.root.parent)

    # --- candidates -----------------------------------------------------------------------------------------------

    def candidates(self, first: int | None = None) -> list[Candidate]:
        """Those that were begun and not committed, in their order, or whose commit no longer counts; only those from one index
        on, or all."""
        found = list(self._no_longer_committed(self._names_done() if first is None else [first]))
        for name in _names_in(self._candidates):
            begin, _, number = name.partition(".")
            if begin.isdecimal() and number.isdecimal() and first in (None, int(begin)):
                found.append(Candidate(int(begin), int(number), self._candidates / name))
        return sorted(found, key=lambda each: (each.first, each.number))

    def candidate(self, first: int, number: int) -> Candidate:
        return Candidate(first, number, self._candidates / f"{first}.{number}")

    def begin_candidate(self, first: int, *, sync: bool = True) -> Candidate:
        """A folder for a new candidate, with all that the last one before it has in its own. With `sync` that is on the device
        before the folder has its name."""
        while True:
            before = self.candidates(first)
            number = before[-1].number + 1 if before else 0
            draft = drafted(self._candidates, before[-1].folder if before else None, sync=sync)
            candidate = self.candidate(first, number)
            try:
                draft.rename(candidate.folder)
            except OSError as error:
                shutil.rmtree(draft, ignore_errors=True)
                if error.errno not in WON_BY_ANOTHER:
                    raise StorageError(candidate.folder, error) from error
            else:
                return candidate

    def commit(self, candidate: Candidate, committed: Committed) -> bool:
        """Make a candidate the one whose answers count. False when another one is that already.

        What is in the folder is on the device before it gets its name.
        """
        try:
            write_whole(candidate.folder / COMMITTED, msgspec.json.encode(committed))
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError):  # somebody has counted these items and cleared up
                return False
            raise
        try:
            candidate.folder.rename(self._done / str(candidate.first))
        except OSError as error:
            if error.errno in WON_BY_ANOTHER:
                return False
            raise StorageError(candidate.folder, error) from error
        sync_folder(self._done)
        return True

    # --- what is committed --------------------------------------------------------------------------------------

    def done(self, first: int) -> Path:
        """The folder of the committed candidate that begins at item `first`, whether there is one or not."""
        return self._done / str(first)

    def committed(self, first: int) -> Committed | None:
        """What the committed candidate from item `first` on says of itself; None if there is none, or none that still counts."""
        found = read_committed(self.done(first))
        return found if found is not None and found.counts else None

    def all_done(self) -> list[int]:
        """The first indexes of all committed candidates, those included that nobody will count."""
        return sorted(first for first in self._names_done() if self.committed(first) is not None)

    def _names_done(self) -> list[int]:
        return [int(name) for name in _names_in(self._done) if name.isdecimal()]

    def reopen(self, *, of: Callable[[int], bool] = _every) -> None:
        """Make open candidates again of commits that no longer count (`commits` says which). Only the journal stays: what the
        device has of the other files nobody can tell. Whoever calls it works alone on the ranges with these first indexes."""
        for candidate in self._no_longer_committed(filter(of, self._names_done())):
            number = candidate.number
            while (target := self.candidate(candidate.first, number).folder).exists():
                number += 1
            try:
                candidate.folder.rename(target)
            except OSError as error:
                raise StorageError(candidate.folder, error) from error
            for name in (COMMITTED, SCORES, RESPONSES, REQUESTS):
                remove(target / name)

    def _no_longer_committed(self, firsts: Iterable[int]) -> Iterator[Candidate]:
        for first in firsts:
            found = read_committed(self.done(first))
            if found is not None and not found.counts:
                yield Candidate(first, found.candidate or 0, self.done(first))

    def chain(self, first: int, end: int) -> Iterator[Committed]:
        """The committed candidates that follow each other from `first` on."""
        while first < end and (found := self.committed(first)) is not None:
            yield found
            first = found.end

    def chain_end(self, first: int, end: int) -> int:
        """How far what is committed reaches without a gap from `first` on."""
        for each in self.chain(first, end):
            first = each.end
        return first

    def merged(self) -> Merged | None:
        """How far the run is put together; None if nothing is yet."""
        path = self.root / "merged.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Merged)
        except FileNotFoundError:
            return None
        except (OSError, DecodeError) as error:
            hint = "start over with --fresh, which moves the run aside; --reuse takes over the answers that can be read"
            raise LogError([Problem(path=str(path), message=f"cannot be read: {error}", hint=hint)]) from error

    def note(self, merged: Merged) -> None:
        write_whole(self.root / "merged.json", msgspec.json.encode(merged))

    def money(self, *, of: Callable[[int], bool] = _every) -> Money:
        """What the run has spent so far, in all its candidates, and may have; or only what is not put together yet of the
        ranges with these first indexes."""
        merged = self.merged()
        total, end = (Money(), 0) if merged is None else (merged.money, merged.end)
        if of is not _every:
            total = Money()
        elif merged is not None:
            for first, money in self.others(merged).items():
                total += money - merged.others.get(first, Money())
        for first, money in self.money_from(end):
            if of(first):
                total += money
        return total

    def money_from(self, end: int) -> Iterator[tuple[int, Money]]:
        """What each candidate for the items from `end` on has spent, committed or not, by its first index."""
        for first in self.all_done():
            if first >= end and (found := self.committed(first)) is not None:
                yield first, found.money
        for candidate in self.candidates():
            if candidate.first >= end:
                yield candidate.first, own_money(candidate.folder)

    def others(self, merged: Merged) -> dict[int, Money]:
        """What candidates for items that are put together have spent, but for those that count: by their first index."""
        found: dict[int, Money] = {}
        for candidate, money in self.late(merged):
            found[candidate.first] = found.get(candidate.first, Money()) + money
        return found

    def late(self, merged: Merged) -> Iterator[tuple[Candidate, Money]]:
        """Each such candidate with what it has spent; `others` adds them up by their first index."""
        for candidate in self.candidates():
            if candidate.first < merged.end:
                yield candidate, own_money(candidate.folder)
        for first in self.all_done():
            if first < merged.end and first not in merged.winners and (late := self.committed(first)) is not None:
                yield self.candidate(first, late.candidate or 0), late.money

    def is_held(self, first: int) -> bool:
        """Whether a process of this machine holds a candidate for the items from one index on, and may still spend something."""
        return any(is_locked(each.folder) for each in self.candidates(first))

    def forget(self, first: int) -> None:
        """Remove what is left of the items from one index on, which nobody holds."""
        for folder in (*(each.folder for each in self.candidates(first)), self.done(first)):
            gone = folder.with_name(f".gone-{secrets.token_hex(8)}")
            with suppress(OSError):
                folder.rename(gone)  # all of it at once: half a candidate would tell half of its money
            shutil.rmtree(gone, ignore_errors=True)

    def remove(self) -> None:
        """The run is complete; the table goes last."""
        shutil.rmtree(self._candidates, ignore_errors=True)
        shutil.rmtree(self._done, ignore_errors=True)
        shutil.rmtree(self.root, ignore_errors=True)


def told_by(candidate: Path) -> int | None:
    """What the candidate that had this folder has spent itself, or may have, in pico-dollars, by what was noted when it was
    committed or put together. None if nothing was."""
    first, _, number = candidate.name.partition(".")
    if not (first.isdecimal() and number.isdecimal()):
        return None
    folders = RangeFolders(candidate.parent.parent.parent)
    committed = folders.committed(int(first))
    if committed is not None and committed.candidate == int(number):
        return committed.money.gone
    merged = folders.merged()  # asked last: what is put together is noted here before it goes there
    return None if merged is None else merged.told.get(candidate.name)


def _names_in(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
