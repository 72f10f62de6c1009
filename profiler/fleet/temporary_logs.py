"""A folder for the logs of workers that live on from one run to the next. A command that is killed cannot remove its own: the
next one does."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = "profiler-workers-"
FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def temporary_logs() -> Iterator[Path]:
    """A new folder, removed at the end. Its lock says that its command lives."""
    remove_what_killed_ones_left()
    while (begun := _begun()) is None:
        pass
    folder, descriptor = begun
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _begun() -> tuple[Path, int] | None:
    """A new folder, and what holds its lock. None if another command saw it before it was locked, and took it for left behind."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        descriptor = os.open(folder, FOLDER)
    except FileNotFoundError:
        return None
    with suppress(OSError):  # where there are no locks nobody removes what others left, either
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), folder.stat()):
            return folder, descriptor
    os.close(descriptor)
    return None


def remove_what_killed_ones_left() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is locked, somebody else's, or removed meanwhile
            _remove_unless_used(folder)


def _remove_unless_used(folder: Path) -> None:
    descriptor = os.open(folder, FOLDER)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
    finally:
        os.close(descriptor)
