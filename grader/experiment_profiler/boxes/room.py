"""Reserves disk space for a box before it starts, so that no submission meets, or causes, a full disk.

The space is held by a file, which is removed when what the box wrote is collected. Where there is plenty of space
nothing is reserved, as that would take longer than the box. Where another grading has the space, it is waited for. One lays
out its box while no other reserves: else the space that was reserved for that could be taken in between.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from grader.experiment_profiler.boxes import submission
from task_kit import sandbox
from task_kit.sandbox.kept_folders import cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OWN: Final = 16 << 20  # for worlds, tools and claims
PLENTY: Final = 8 << 30
PATIENCE_S: Final = 120.0
AGAIN_S: Final = 0.2


def keep(folder: Path, *, disk_bytes: int, lay_out: Callable[[], None]) -> Path | None:
    """Reserve space for what lies in a box, which `lay_out` writes, and what it may write. The file that is returned holds the
    second part."""
    if _free(folder) >= PLENTY:
        lay_out()
        return None
    before = submission.BYTES_LIMIT + OWN
    path = folder / f"room-{os.urandom(8).hex()}"
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with _reserved(descriptor, before + disk_bytes, folder):
            os.ftruncate(descriptor, disk_bytes)
            lay_out()
    except BaseException:
        path.unlink()
        raise
    finally:
        os.close(descriptor)
    return path


@contextmanager
def _reserved(descriptor: int, size: int, folder: Path) -> Iterator[None]:
    waited, pause = 0.0, threading.Event()
    while True:
        with _turn():
            if _takes(descriptor, size):
                yield
                return
        if waited >= PATIENCE_S:
            raise sandbox.SandboxError(
                f"{folder}: a box needs {size >> 20} MiB of room, {_free(folder) >> 20} MiB are left",
                hint="set TMPDIR to a folder with more",
            )
        pause.wait(AGAIN_S)
        waited += AGAIN_S


def _takes(descriptor: int, size: int) -> bool:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        os.ftruncate(descriptor, 0)
        return False
    return True


@contextmanager
def _turn() -> Iterator[None]:
    """One at a time, of all processes and threads of this user."""
    lock = os.open(cache_folder() / "room.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
