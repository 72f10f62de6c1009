"""Takes a copy of a submission, so that what is graded cannot change and what is copied cannot lead elsewhere.

Comes in: a folder of somebody's. Goes out: its regular files, as bytes, with one hash over all. Links and odd files
are left out, and so are caches. Knows nothing of what the files mean.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES_LIMIT: Final = 2000
BYTES_LIMIT: Final = 32 << 20
DEPTH_LIMIT: Final = 24
LEFT_OUT: Final = frozenset({".git", "__pycache__", ".venv"})


class UnusableSubmission(Exception):
    """The folder cannot be taken: its own doing, and so a fail."""


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
    """Raises OSError when there is no such folder; whatever is wrong inside is the submission's own doing."""
    os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    try:
        return Submission(path=os.fspath(folder), files=_files(folder))
    except OSError as error:
        raise UnusableSubmission(f"it cannot be read: {error.strerror}") from error


def _files(folder: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    taken = 0
    for path in _regular(folder, depth=0):
        content = _content(path, limit=BYTES_LIMIT - taken)
        taken += len(content)
        files[path.relative_to(folder).as_posix()] = content
        if len(files) > FILES_LIMIT:
            raise UnusableSubmission(f"it holds more than {FILES_LIMIT} files")
    return files


def _regular(folder: Path, *, depth: int) -> Iterator[Path]:
    if depth > DEPTH_LIMIT:
        raise UnusableSubmission(f"it is nested more than {DEPTH_LIMIT} folders deep")
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name in LEFT_OUT:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _regular(Path(entry.path), depth=depth + 1)
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


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
