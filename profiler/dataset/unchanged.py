"""Checks that a dataset is still the file that was checked, and that it can be read at all."""

from __future__ import annotations

import hashlib
import stat
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.core.errors import DatasetError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from profiler.dataset.formats import Report

Stamp = tuple[int, int, int]


def fingerprint(path: str | PathLike[str]) -> str:
    """The hash that `survey` gives, without looking at the dialogues."""
    path = Path(path)
    with reading_file(path, report=refuse), path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    raise AssertionError("refuse raises")


def stamp(path: str | PathLike[str]) -> Stamp:
    """Numbers that change whenever the file is written or replaced, as far as the system notices."""
    path = Path(path)
    with reading_file(path, report=refuse):
        found = path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns
    raise AssertionError("refuse raises")


def expect_unchanged(path: Path, *, since: Stamp, sha256: str) -> None:
    """Raise unless this is the file that was checked. A new time of change alone is no difference."""
    if stamp(path) != since and fingerprint(path) != sha256:
        hint = "start over with --fresh: dialogues may have been asked in other words, which requests.jsonl shows"
        raise DatasetError([Problem(path=str(path), message="the file changed during the run", hint=hint)])


def expect_unwritten(path: Path, *, since: Stamp, sha256: str) -> None:
    """Raise if the file was written to while it was read.

    If it was removed or replaced meanwhile that does no harm: the bytes that were open are still the old ones.
    """
    if path.exists() and stamp(path)[0] == since[0]:
        expect_unchanged(path, since=since, sha256=sha256)


@contextmanager
def reading_file(path: Path, *, report: Report) -> Iterator[None]:
    """Refuse what is not a regular file, and report what the system and gzip say about this one."""
    _expect_regular(path)
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        report(_unreadable(path, error))


def refuse(problem: Problem) -> None:
    raise DatasetError([problem])


def _expect_regular(path: Path) -> None:
    """Checked before opening, because opening a pipe would wait for somebody to write to it."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError) as error:
        raise DatasetError([_unreadable(path, error)]) from error
    if not regular:
        raise DatasetError([_unreadable(path, "not a regular file, and a dataset is read more than once")])


def _unreadable(path: Path, error: object) -> Problem:
    return Problem(path=str(path), message=f"cannot be read: {getattr(error, 'strerror', None) or error}")
