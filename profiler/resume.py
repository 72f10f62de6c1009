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

from profiler import journal
from profiler.codec import DecodeError, dump_line, loads
from profiler.errors import LogError, Problem, RunDirectoryError
from profiler.linefile import LineFile, end_of_line, sync_folder, whole_lines
from profiler.order import Order

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from profiler.journal import Header

REQUESTS = "requests.jsonl"
RESPONSES = "responses.jsonl"
SUMMARY = "summary.json"
HALF_MADE = ("journal.tmp", f".{SUMMARY}.tmp")


class Standing(msgspec.Struct, kw_only=True):
    """What an open run directory holds: its files, ready to be appended to, and what is done."""

    requests: LineFile
    journal: LineFile
    order: Order
    responses_size: int
    asked: int
    done: bytearray
    kept: int = 0
    failed: int = 0
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
        _lock(fd, folder)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, folder: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RunDirectoryError(
            f"{folder}: another run is writing here",
            hint="wait for it to end, stop it, or choose another place with --output-dir",
        ) from error
    except OSError as error:
        raise RunDirectoryError(
            f"{folder}: cannot be locked: {error.strerror}", hint="choose another place with --output-dir"
        ) from error


def sweep(folder: Path) -> None:
    """Remove what a kill left half-made: files that only count once they have been renamed."""
    for name in HALF_MADE:
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)


def move_aside(folder: Path) -> Path | None:
    """Make room for a new run by renaming the old one; nothing is ever deleted."""
    if not any(folder.iterdir()):
        return None
    stamp = time.strftime("%Y%m%dT%H%M%S")
    for number in range(1000):
        aside = folder.with_name(f"{folder.name}.old-{stamp}" + (f"-{number}" if number else ""))
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


def open_standing(folder: Path, header: Header, *, retry_failed: bool = False) -> Standing:
    """Take up what the folder holds of this run, or begin it."""
    path = folder / journal.NAME
    old = journal.read_header(path) if path.exists() else None
    if old is None:
        return _begin(folder, header, notes=_clear(folder))
    refuse_other(folder, old.identity, header.identity)
    return _take_up(folder, old, retry_failed=retry_failed)


def _clear(folder: Path) -> list[str]:
    """Logs that no journal vouches for are somebody's data, not ours to overwrite. Only the questions of
    a run whose journal was cut off in its first line are: they hold nothing that was paid for."""
    torn = (folder / journal.NAME).exists()
    for name in (RESPONSES, SUMMARY) if torn else (REQUESTS, RESPONSES, SUMMARY):
        if _size(folder / name):
            what = f"a {journal.NAME} without a whole first line" if torn else f"no {journal.NAME}"
            raise RunDirectoryError(
                f"{folder}: holds {name} but {what}, so it cannot be resumed",
                hint="choose another --output-dir, or use --fresh to move the folder aside",
            )
    if not torn or not _size(folder / REQUESTS):
        return []
    with LineFile(folder / REQUESTS) as file:
        file.cut(0)
    return [f"{journal.NAME}: its first line is not whole, so the run begins anew"]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _begin(folder: Path, header: Header, *, notes: list[str]) -> Standing:
    journal_file = LineFile(folder / journal.NAME)
    journal.begin(journal_file, header)
    return Standing(
        requests=LineFile(folder / REQUESTS),
        journal=journal_file,
        order=Order(journal_file.fd, folder=folder),
        responses_size=0,
        asked=0,
        done=bytearray(header.count),
        notes=notes,
    )


def _take_up(folder: Path, header: Header, *, retry_failed: bool) -> Standing:
    with ExitStack() as opened:
        standing = _standing(folder, header, opened, retry_failed=retry_failed)
        opened.pop_all()
        return standing


def _standing(folder: Path, header: Header, opened: ExitStack, *, retry_failed: bool) -> Standing:
    notes: list[str] = []
    requests, asked = _cut_log(opened, folder / REQUESTS, most=header.count, notes=notes)
    responses, laid_out = _cut_log(opened, folder / RESPONSES, most=header.count, notes=notes)
    journal_file = opened.enter_context(LineFile(folder / journal.NAME))
    done, order, failed, end = _replay(opened, journal_file, header, first=laid_out, retry_failed=retry_failed)
    if end < journal_file.size:
        notes.append(f"{journal.NAME}: cut {journal_file.size - end} bytes of a torn last line")
        journal_file.cut(end)
    missing = done.find(0)
    if 0 <= missing < laid_out:
        responses.cut(end_of_line(responses.path, missing))
        if not retry_failed:
            notes.append(
                f"{RESPONSES}: cut {laid_out - missing} lines, the first of which {journal.NAME} does not hold"
            )
        order.close()
        done, order, failed, _ = _replay(opened, journal_file, header, first=missing, retry_failed=retry_failed)
    size = responses.size
    responses.close()
    return Standing(
        requests=requests,
        journal=journal_file,
        order=order,
        responses_size=size,
        asked=asked,
        done=done,
        kept=done.count(1),
        failed=failed,
        notes=notes,
    )


def _cut_log(opened: ExitStack, path: Path, *, most: int, notes: list[str]) -> tuple[LineFile, int]:
    """Open a log, without the torn line at its end."""
    file = opened.enter_context(LineFile(path))
    lines, end = whole_lines(path)
    if lines > most:
        lines, end = most, end_of_line(path, most)
    if end < file.size:
        notes.append(f"{path.name}: cut {file.size - end} bytes of a torn last line")
        file.cut(end)
    return file, lines


def _replay(
    opened: ExitStack, file: LineFile, header: Header, *, first: int, retry_failed: bool
) -> tuple[bytearray, Order, int, int]:
    """What is done, where the lines not laid out yet stand, how many failed, and where the last line ends."""
    done = bytearray(header.count)
    failed: set[int] = set()
    order = opened.enter_context(Order(file.fd, folder=file.path.parent, first=first))
    end = journal.header_size(file.path)
    for place in journal.replay(file.path, count=header.count):
        end = place.offset + place.size
        if retry_failed and place.entry.type == "error":
            failed.add(place.entry.index)
            continue
        failed.discard(place.entry.index)
        done[place.entry.index] = 1
        if place.entry.index >= first:
            order.note(place.entry.index, offset=place.offset, size=place.size)
    return done, order, len(failed), end


def reopen(folder: Path, header: Header) -> None:
    """Turn a complete run back into one that still owes the answers of its failed dialogues.

    The journal appears under its name only when it is whole, so a kill in between loses nothing.
    """
    path = folder / journal.NAME
    temporary = path.with_suffix(".tmp")
    with LineFile(temporary) as file:
        journal.begin(file, header)
        for index, record in enumerate(_records(folder / RESPONSES)):
            if record.get("type") != "error":
                file.write(dump_line({**record, "index": index}))
        file.sync()
    temporary.replace(path)
    (folder / SUMMARY).unlink()
    sync_folder(folder)


def secure(folder: Path) -> None:
    """Force both logs to the device, whoever wrote them: the journal that could replace them goes next."""
    for name in (REQUESTS, RESPONSES):
        with LineFile(folder / name) as file:
            file.sync()


def finish(folder: Path) -> None:
    """Only the three files stay. What goes is what the summary, already on disk, stands for."""
    (folder / journal.NAME).unlink()
    sync_folder(folder)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                record = loads(line)
            except (DecodeError, ValueError) as error:
                raise LogError([Problem(path=str(path), line=number, message=f"found no record: {error}")]) from error
            if not isinstance(record, dict):
                raise LogError([Problem(path=str(path), line=number, message=f"found no record but {record!r}")])
            yield record
