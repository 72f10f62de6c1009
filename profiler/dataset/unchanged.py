"""Checks that a dataset is still the file that was checked, remembers what was found in it, and reads only what can be read."""

from __future__ import annotations

import hashlib
import stat
import time
import zlib
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from profiler.core.errors import DatasetError, Problem, ProfilerError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Hashable, Iterator
    from os import PathLike

    from profiler.dataset.formats import Report

Stamp = tuple[int, int, int]
Found = TypeVar("Found")
REMEMBERED = 32
SETTLED_NS = 2 * 10**9  # a file written more recently may be written again without a new time of change


class Remembered(Generic[Found]):
    """What was found in files, as long as each stays as it is: the experiments of a manifest often share one."""

    def __init__(self, *, most: int = REMEMBERED) -> None:
        self._most = most
        self._found: OrderedDict[tuple[Path, Hashable, Stamp], Found] = OrderedDict()

    def of(self, path: Path, look: Callable[[], Found], *, asked: Hashable = None) -> Found:
        """What `look` finds in this file, from memory if the file cannot have changed. `asked` tells apart different looks."""
        key = self._key(path, asked)
        if key in self._found:
            return self._found[key]
        settled = time.time_ns() - key[2][2] > SETTLED_NS
        found = look()
        if settled and stamp(path) == key[2]:
            self._found[key] = found
            if len(self._found) > self._most:
                self._found.popitem(last=False)
        return found

    def knows(self, path: Path, *, asked: Hashable = None) -> bool:
        """Whether `of` can answer from memory."""
        return self._key(path, asked) in self._found

    def _key(self, path: Path, asked: Hashable) -> tuple[Path, Hashable, Stamp]:
        return path.absolute(), asked, stamp(path)


def as_path(path: str | PathLike[str]) -> Path:
    """A path that is one already is left alone: it remembers its own text, and an experiment looks at its dataset often."""
    return path if isinstance(path, Path) else Path(path)


_hashes: Remembered[str] = Remembered()


def fingerprint(path: str | PathLike[str]) -> str:
    """The hash that `survey` gives, without looking at the dialogues."""
    path = as_path(path)
    return _hashes.of(path, lambda: _hash(path))


def _hash(path: Path) -> str:
    with reading_file(path, report=refuse), path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    raise AssertionError("refuse raises")


def stamp(path: str | PathLike[str]) -> Stamp:
    """Numbers that change whenever the file is written or replaced, as far as the system notices."""
    found = _regular(as_path(path))
    return found.st_ino, found.st_size, found.st_mtime_ns


def expect_unchanged(path: Path, *, since: Stamp, sha256: str) -> None:
    """Raise unless the file has the content that was checked. A new modification time alone is not a difference."""
    if stamp(path) != since and fingerprint(path) != sha256:
        hint = "start over with --fresh: dialogues may have been asked in other words, which requests.jsonl shows"
        raise DatasetError([Problem(path=str(path), message="the file changed during the run", hint=hint)])


def expect_unwritten(path: Path, *, since: Stamp, sha256: str) -> None:
    """Raise if the file was written to while it was read.

    If it was removed or replaced meanwhile that does no harm: the bytes that were open are still the old ones.
    """
    try:
        now = stamp(path)
    except DatasetError:
        return
    if now[0] == since[0] and now != since:
        expect_unchanged(path, since=since, sha256=sha256)


@contextmanager
def unwritten(path: Path, *, since: Stamp, sha256: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Raise if the file is written to during the block. Where the block ends with an error anyway, this one is only told."""
    try:
        yield
    except ProfilerError:
        try:
            expect_unwritten(path, since=since, sha256=sha256)
        except DatasetError as changed:
            tell(str(changed))
        raise
    expect_unwritten(path, since=since, sha256=sha256)


@contextmanager
def reading_file(path: Path, *, report: Report) -> Iterator[None]:
    """Refuse what is not a regular file, and report what the system and gzip say about this one."""
    _regular(path)
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        report(_unreadable(path, error))


def refuse(problem: Problem) -> None:
    raise DatasetError([problem])


def _regular(path: Path) -> os.stat_result:
    """Checked before opening, because opening a pipe would wait for somebody to write to it."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise DatasetError([_unreadable(path, error)]) from error
    if not stat.S_ISREG(found.st_mode):
        raise DatasetError([_unreadable(path, "not a regular file, and a dataset is read more than once")])
    return found


def _unreadable(path: Path, error: object) -> Problem:
    return Problem(path=str(path), message=f"cannot be read: {getattr(error, 'strerror', None) or error}")
