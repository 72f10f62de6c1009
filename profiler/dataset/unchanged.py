"""Whether a dataset is still the file that was checked, and what is said of one that cannot be read."""

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
    """The hash that `survey` gives, without a look at the dialogues."""
    path = Path(path)
    with reading_file(path, report=refuse), path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    raise AssertionError("refuse raises")


def stamp(path: str | PathLike[str]) -> Stamp:
    """Another one whenever the file was written or replaced, as far as the system tells."""
    path = Path(path)
    with reading_file(path, report=refuse):
        found = path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns
    raise AssertionError("refuse raises")


def expect_unchanged(path: Path, *, since: Stamp, sha256: str) -> None:
    """That the file is the one that was checked; to have touched it changes nothing."""
    if stamp(path) != since and fingerprint(path) != sha256:
        hint = "start over with --fresh: dialogues may have been asked in other words, which requests.jsonl shows"
        raise DatasetError([Problem(path=str(path), message="the file changed during the run", hint=hint)])


def expect_unwritten(path: Path, *, since: Stamp, sha256: str) -> None:
    """The same of a file that was read meanwhile: whoever removed it or put another in its place left the bytes that
    were open."""
    if path.exists() and stamp(path)[0] == since[0]:
        expect_unchanged(path, since=since, sha256=sha256)


@contextmanager
def reading_file(path: Path, *, report: Report) -> Iterator[None]:
    """For a regular file only; translates what the operating system and gzip say about it."""
    _expect_regular(path)
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        report(_unreadable(path, error))


def refuse(problem: Problem) -> None:
    raise DatasetError([problem])


def _expect_regular(path: Path) -> None:
    """Before it is opened: to open a pipe is to wait for somebody who writes."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError) as error:
        raise DatasetError([_unreadable(path, error)]) from error
    if not regular:
        raise DatasetError([_unreadable(path, "not a regular file, and a dataset is read more than once")])


def _unreadable(path: Path, error: object) -> Problem:
    return Problem(path=str(path), message=f"cannot be read: {getattr(error, 'strerror', None) or error}")
