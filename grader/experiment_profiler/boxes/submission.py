"""Copies a submission into memory, so that it cannot change while it is graded and no link leads elsewhere.

The copy has the regular files as bytes. Links, odd files and caches are left out.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRIES_LIMIT: Final = 2000  # files, folders and whatever else has a name
BYTES_LIMIT: Final = 32 << 20
DEPTH_LIMIT: Final = 24
PATH_LIMIT: Final = 1024  # bytes, so that there is room for the folder that the copy lies in
LEFT_OUT: Final = frozenset({".git", "__pycache__", ".venv"})


class UnusableSubmission(Exception):
    """The folder cannot be used, which is the submission's fault, so the verdict is a fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    path: str
    files: dict[str, bytes]

    @property
    def sha256(self) -> str:
        total = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            total.update(b"%s\0%d\0" % (os.fsencode(name), len(content)))
            total.update(content)
        return total.hexdigest()


def take(folder: Path) -> Submission:
    """Copy the submission.

    Whatever is wrong counts as its own doing: it may have removed itself, or put a link to a solution in its place.
    Only where even the parent folder is missing, FileNotFoundError is raised.
    """
    try:
        found = os.lstat(folder)
    except FileNotFoundError as error:
        if not folder.absolute().parent.is_dir():
            raise FileNotFoundError(f"{folder}: found nothing, expected the folder of a submission") from error
        raise UnusableSubmission("nothing is there") from error
    if stat.S_ISLNK(found.st_mode):
        raise UnusableSubmission("it is a link, expected the folder itself")
    try:
        return Submission(path=os.fspath(folder), files=_files(folder))
    except OSError as error:
        raise UnusableSubmission(f"it cannot be read: {error.strerror}") from error


def _files(folder: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    taken = 0
    for path in _Walk(folder):
        content = _content(path, limit=BYTES_LIMIT - taken)
        taken += len(content)
        files[path.relative_to(folder).as_posix()] = content
    return files


class _Walk:
    """The regular files below a folder, in order, as far as the limits allow."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._left = ENTRIES_LIMIT

    def __iter__(self) -> Iterator[Path]:
        return self._below(self._top, depth=0)

    def _below(self, folder: Path, *, depth: int) -> Iterator[Path]:
        if depth > DEPTH_LIMIT:
            raise UnusableSubmission(f"it is nested more than {DEPTH_LIMIT} folders deep")
        for entry in self._entries(folder):
            if entry.is_dir(follow_symlinks=False):
                yield from self._below(Path(entry.path), depth=depth + 1)
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """Counted while listing: a folder may hold more entries than anybody wants to sort."""
        with os.scandir(folder) as listed:
            kept = (entry for entry in listed if entry.name not in LEFT_OUT)
            found = list(islice(kept, self._left + 1))
        self._left -= len(found)
        if self._left < 0:
            raise UnusableSubmission(f"it holds more than {ENTRIES_LIMIT} files and folders")
        for entry in found:
            if len(os.fsencode(os.path.relpath(entry.path, self._top))) > PATH_LIMIT:
                raise UnusableSubmission(f"it has a path of more than {PATH_LIMIT} bytes")
        return sorted(found, key=lambda entry: entry.name)


def _content(path: Path, *, limit: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            raise UnusableSubmission(f"it holds more than {BYTES_LIMIT} bytes")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise UnusableSubmission(f"it holds more than {BYTES_LIMIT} bytes")
    return content
