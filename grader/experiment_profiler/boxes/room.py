"""Room on disk for a box, kept before it starts: no submission may find, or make, a full disk.

Comes in: the folder of the grading, and how much a box may need. Goes out: a file that holds as much, which goes when
what the box wrote is fetched. Where there is plenty, nothing is kept: it would cost more than the box. Where another grading
has the room for the moment, it is waited for.
"""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING, Final

from grader.experiment_profiler.boxes import submission
from task_kit import sandbox

if TYPE_CHECKING:
    from pathlib import Path

OWN: Final = 16 << 20  # worlds, tools and claims
PLENTY: Final = 8 << 30
PATIENCE_S: Final = 120.0
AGAIN_S: Final = 0.2


def keep(folder: Path, *, disk_bytes: int) -> Path | None:
    """For one box: what lies in it before it starts, and what it may write. The file keeps the second part."""
    if _free(folder) >= PLENTY:
        return None
    before = submission.BYTES_LIMIT + OWN
    path = folder / f"room-{os.urandom(8).hex()}"
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        _reserve(descriptor, before + disk_bytes, folder)
        os.ftruncate(descriptor, disk_bytes)
    except BaseException:
        path.unlink()
        raise
    finally:
        os.close(descriptor)
    return path


def _reserve(descriptor: int, size: int, folder: Path) -> None:
    waited, pause = 0.0, threading.Event()
    while True:
        try:
            return os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            os.ftruncate(descriptor, 0)
        if waited >= PATIENCE_S:
            raise sandbox.SandboxError(
                f"{folder}: a box needs {size >> 20} MiB of room, {_free(folder) >> 20} MiB are left",
                hint="set TMPDIR to a folder with more",
            )
        pause.wait(AGAIN_S)
        waited += AGAIN_S


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
