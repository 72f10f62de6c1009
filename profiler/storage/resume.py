"""The run directory: whose it is, what stands in it, and what is still owed.

Comes in: the folder and the header of the run that is wanted. Goes out: the open files, cut back to
what is whole, and which dialogues are done. Knows nothing of clients or metrics.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import LogError, Problem, RunDirectoryError
from profiler.core.json import DecodeError, dump_line, loads
from profiler.money.prices import pico
from profiler.storage import journal
from profiler.storage.line_file import LineFile, end_of_line, sync_folder, whole_lines
from profiler.storage.reorder import Order

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from profiler.storage.journal import Header

REQUESTS = "requests.jsonl"
RESPONSES = "responses.jsonl"
SUMMARY = "summary.json"
ASIDE = ".old-"
HALF_MADE = ("journal.tmp", "ledger.tmp", f".{SUMMARY}.tmp")


class Standing(msgspec.Struct, kw_only=True):
    """What an open run directory holds: its files, ready to be appended to, what is done, and what its records cost
    (pico-dollars; those of failures too)."""

    requests: LineFile
    journal: LineFile
    order: Order
    responses_size: int
    asked: int
    done: bytearray
    kept: int = 0
    failed: int = 0
    cost: int = 0
    notes: list[str]

    @property
    def first(self) -> int:
        """The first dialogue that needs a look: its request line or its answer is missing."""
        missing = self.done.find(0)
        return min(self.asked, missing if missing >= 0 else len(self.done))

    @property
    def in_flight(self) -> int:
        """Asked without an answer kept: these may have been billed, and are asked again."""
        return max(0, self.asked - self.kept - self.failed)

    def close(self) -> None:
        self.order.close()
        self.requests.close()
        self.journal.close()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the system lets go when the process ends, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise RunDirectoryError(
            f"{folder}: cannot be used as a run directory: {error.strerror}",
            hint="choose another place with --output-dir",
        ) from error
    try:
        _lock(folder, fd)
        yield
    finally:
        os.close(fd)


def _lock(folder: Path, fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        moved = not folder.exists() or not os.path.samestat(os.fstat(fd), folder.stat())
    except BlockingIOError as error:
        raise _in_use(folder) from error
    except OSError as error:
        raise RunDirectoryError(
            f"{folder}: cannot be locked: {error.strerror}",
            hint="choose a place on a local disk with --output-dir",
        ) from error
    if moved:  # by a run that starts over, after we had opened it
        raise _in_use(folder)


def _in_use(folder: Path) -> RunDirectoryError:
    return RunDirectoryError(
        f"{folder}: another run is writing here",
        hint="wait for it to end, stop it, or choose another place with --output-dir",
    )


def sweep(folder: Path) -> None:
    """Remove what a kill left half-made: files that only count once they have been renamed."""
    for name in HALF_MADE:
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)


def move_aside(folder: Path) -> Path | None:
    """Make room for a new run by renaming the old one; nothing is ever deleted."""
    try:
        return _move_aside(folder) if any(folder.iterdir()) else None
    except OSError as error:
        raise RunDirectoryError(
            f"{folder}: cannot be moved aside: {error.strerror}", hint="choose another place with --output-dir"
        ) from error


def _move_aside(folder: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%S")
    for number in range(1000):
        aside = folder.with_name(f"{folder.name}{ASIDE}{stamp}" + (f"-{number}" if number else ""))
        if not aside.exists():
            folder.rename(aside)
            return aside
    raise RunDirectoryError(f"{folder}: cannot find a free name to move the old run to")


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """The run that a folder holds already."""

    count: int
    identity: dict[str, Any]
    complete: bool


def earlier(folder: Path) -> Earlier | None:
    """The unfinished run in this folder. One without a whole first line has not begun."""
    path = folder / journal.NAME
    header = journal.read_header(path) if path.exists() else None
    return Earlier(count=header.count, identity=header.identity, complete=False) if header else None


def differences(old: dict[str, Any], new: dict[str, Any], *, prefix: str = "") -> list[str]:
    """What two identities do not share, a line each."""
    lines: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        before, now = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            lines += differences(before, now, prefix=f"{prefix}{name}.")
        elif before != now:
            lines.append(f"{prefix}{name}: the run has {before!r}, now it is {now!r}")
    return lines


def refuse_other(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    if lines := differences(old, new):
        raise RunDirectoryError(
            f"{folder}: holds another run, it cannot be resumed:\n" + "\n".join(f"  {line}" for line in lines),
            hint="undo the change, choose another --output-dir, or use --fresh to move the old run aside",
        )


def open_standing(folder: Path, header: Header, *, retry_failed: bool = False, sync: bool = True) -> Standing:
    """Take up what the folder holds of this run, or begin it."""
    path = folder / journal.NAME
    old = journal.read_header(path) if path.exists() else None
    if old is None:
        _refuse_strays(folder)
        return _begin(folder, header, sync=sync)
    refuse_other(folder, old.identity, header.identity)
    return _take_up(folder, old, retry_failed=retry_failed)


def _refuse_strays(folder: Path) -> None:
    """Logs that no journal vouches for are somebody's data, not ours to overwrite."""
    torn = " with a whole first line" if (folder / journal.NAME).exists() else ""
    for name in (REQUESTS, RESPONSES, SUMMARY):
        if (folder / name).exists() and (folder / name).stat().st_size:
            raise RunDirectoryError(
                f"{folder}: holds {name} but no journal{torn}, so it cannot be resumed",
                hint="choose another --output-dir, or use --fresh to move the folder aside",
            )


def _begin(folder: Path, header: Header, *, sync: bool) -> Standing:
    with ExitStack() as opened:
        journal_file = opened.enter_context(LineFile(folder / journal.NAME))
        journal.begin(journal_file, header)
        if sync:  # what follows means nothing without this line
            journal_file.sync()
            sync_folder(folder)
        standing = Standing(
            requests=opened.enter_context(LineFile(folder / REQUESTS)),
            journal=journal_file,
            order=Order(journal_file.fd, folder=folder),
            responses_size=0,
            asked=0,
            done=bytearray(header.count),
            notes=[],
        )
        opened.pop_all()
    return standing


def _take_up(folder: Path, header: Header, *, retry_failed: bool) -> Standing:
    notes: list[str] = []
    with ExitStack() as opened:
        requests, asked = _cut_log(folder / REQUESTS, most=header.count, notes=notes, opened=opened)
        file = opened.enter_context(LineFile(folder / journal.NAME))
        with ExitStack() as meanwhile:
            responses, laid_out = _cut_log(folder / RESPONSES, most=header.count, notes=notes, opened=meanwhile)
            replayed = _replay(file, header, first=laid_out, retry_failed=retry_failed)
            if replayed.end < file.size:
                notes.append(f"{journal.NAME}: cut {file.size - replayed.end} bytes of a torn last line")
                file.cut(replayed.end)
            missing = replayed.done.find(0)
            if 0 <= missing < laid_out:
                replayed.order.close()
                responses.cut(end_of_line(responses.path, missing))
                if not retry_failed:
                    lines = laid_out - missing
                    notes.append(f"{RESPONSES}: cut {lines} lines, the first of which {journal.NAME} does not hold")
                replayed = _replay(file, header, first=missing, retry_failed=retry_failed)
        standing = Standing(
            requests=requests,
            journal=file,
            order=replayed.order,
            responses_size=responses.size,
            asked=asked,
            done=replayed.done,
            kept=replayed.done.count(1),
            failed=replayed.failed,
            cost=replayed.cost,
            notes=notes,
        )
        opened.pop_all()
    return standing


def _cut_log(path: Path, *, most: int, notes: list[str], opened: ExitStack) -> tuple[LineFile, int]:
    """Open a log, without the torn line at its end."""
    file = opened.enter_context(LineFile(path))
    lines, end = whole_lines(path)
    if lines > most:
        lines, end = most, end_of_line(path, most)
    if end < file.size:
        notes.append(f"{path.name}: cut {file.size - end} bytes of a torn last line")
        file.cut(end)
    return file, lines


class _Replayed(msgspec.Struct, kw_only=True):
    """What a journal says: what is done, where the lines not laid out yet stand, what failed, what was paid, where
    its last line ends."""

    done: bytearray
    order: Order
    end: int
    failed: int = 0
    cost: int = 0


def _replay(file: LineFile, header: Header, *, first: int, retry_failed: bool) -> _Replayed:
    failed: set[int] = set()
    with ExitStack() as opened:
        order = opened.enter_context(Order(file.fd, folder=file.path.parent, first=first))
        replayed = _Replayed(done=bytearray(header.count), order=order, end=journal.header_size(file.path))
        for place in journal.replay(file.path, count=header.count):
            entry = place.entry
            replayed.end = place.offset + place.size
            if entry.cost_usd:
                replayed.cost += pico(entry.cost_usd)
            if retry_failed and entry.type == "error":
                failed.add(entry.index)
                continue
            failed.discard(entry.index)
            replayed.done[entry.index] = 1
            if entry.index >= first:
                order.note(entry.index, offset=place.offset, size=place.size)
        opened.pop_all()
    replayed.failed = len(failed)
    return replayed


def reopen(folder: Path, header: Header) -> None:
    """Turn a complete run back into one that still owes the answers of its failed dialogues.

    The journal appears under its name only when it is whole, so a kill in between loses nothing.
    """
    path = folder / journal.NAME
    temporary = path.with_suffix(".tmp")
    with LineFile(temporary) as file:
        journal.begin(file, header)
        for index, record in _records(folder / RESPONSES):
            if record.get("type") != "error":
                file.write(dump_line({**record, "index": index}))
        file.sync()
    temporary.replace(path)
    (folder / SUMMARY).unlink()
    sync_folder(folder)


def finish(folder: Path, *, sync: bool = True) -> None:
    """Only the three files stay. Before the journal goes, what it vouched for is on the device."""
    if sync:
        for name in (REQUESTS, RESPONSES):
            with LineFile(folder / name) as file:
                file.sync()
    (folder / journal.NAME).unlink()
    if sync:
        sync_folder(folder)


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each record and its place; one that is none is missing, and does not move the others."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                record = loads(line)
            except (DecodeError, ValueError) as error:
                raise LogError([Problem(path=str(path), line=number, message=f"found no record: {error}")]) from error
            if isinstance(record, dict):
                yield number - 1, record
