"""A folder for the boxes of one grading, in memory where there is room. A process that is killed cannot remove its own, which
would fill the memory with time: the next one does that."""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from task_kit.sandbox.copying import remove

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY: Final = "/dev/shm"  # noqa: S108 (a folder of its own with an unguessable name is made there)
MEMORY_ROOM: Final = 1 << 30
PREFIX: Final = "grader-boxes-"
NOT_LOCKED_YET: Final = "grader-begun-"
FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder that others can pass through but not list. It is removed at the end, whatever was done to it.

    Its lock says that somebody lives who will do that; it gets the name by which it is found only with the lock.
    """
    place = Path(_in_memory() or tempfile.gettempdir()).resolve()
    remove_what_killed_ones_left(place)
    begun = Path(tempfile.mkdtemp(prefix=NOT_LOCKED_YET, dir=place))
    descriptor = os.open(begun, FOLDER)
    folder = begun.with_name(begun.name.replace(NOT_LOCKED_YET, PREFIX))
    try:
        with suppress(OSError):  # a file system may know no locks: nothing is found there either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        begun.rename(folder)
        folder.chmod(0o711)
        yield folder
    finally:
        remove(str(folder if folder.exists() else begun))
        os.close(descriptor)


def _in_memory() -> str | None:
    """The folder in memory where files cost next to nothing; None where TMPDIR is set, or there is little room."""
    if os.environ.get("TMPDIR") or not os.access(MEMORY, os.W_OK | os.X_OK):
        return None
    found = os.statvfs(MEMORY)
    return MEMORY if found.f_bavail * found.f_frsize >= MEMORY_ROOM else None


@cache
def remove_what_killed_ones_left(place: Path) -> None:
    """Once for each process: whoever grades thousands of times need not look every time."""
    for path in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody else's, or removed meanwhile
            _remove_unless_used(path)


def _remove_unless_used(folder: Path) -> None:
    descriptor = os.open(folder, FOLDER)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(str(folder))
    finally:
        os.close(descriptor)
