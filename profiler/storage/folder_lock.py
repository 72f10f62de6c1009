"""The lock on a run directory: one process at a time may write there."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.core.errors import RunDirectoryError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCKS = Path("/proc/locks")
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})  # of a file system
ELSEWHERE = "choose another place with --output-dir"


@contextmanager
def locked(folder: Path, *, shared: bool = False, claimed: bool = False) -> Iterator[None]:
    """Hold the folder for this process, or together with others that `shared` it too. The system releases the lock when
    the process ends, however it ends.

    A file system without locks is an error, unless the folder is `claimed` in another way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise RunDirectoryError(
            f"{folder}: cannot be used as a run directory: {error.strerror}", hint=ELSEWHERE
        ) from error
    try:
        _lock(folder, fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, needed=not claimed)
        yield
    finally:
        with suppress(OSError):  # nothing was written through it, and the lock goes with it all the same
            os.close(fd)


def _lock(folder: Path, fd: int, operation: int, *, needed: bool) -> None:
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
        moved = not os.path.samestat(os.fstat(fd), folder.stat())
    except FileNotFoundError:
        moved = True
    except BlockingIOError as error:
        raise _in_use(folder) from error
    except OSError as error:
        if not needed and error.errno in NO_LOCKS:
            return
        raise RunDirectoryError(
            f"{folder}: cannot be locked: {error.strerror}",
            hint="choose a place on a local disk with --output-dir, or use --shard 0/1 and profiler merge, which need no locks",
        ) from error
    if moved:  # another run with --fresh moved the folder aside after we had opened it
        raise _in_use(folder)


def _in_use(folder: Path) -> RunDirectoryError:
    return RunDirectoryError(
        f"{folder}: another run is writing here",
        hint=f"wait for it to end, stop it, or {ELSEWHERE}",
    )


def is_locked(folder: Path) -> bool:
    """Whether a run holds the folder now.

    Asks /proc, because trying the lock would get in the way of a run that starts.
    """
    try:
        at = folder.stat()
        held = LOCKS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    device = f"{os.major(at.st_dev):02x}:{os.minor(at.st_dev):02x}:{at.st_ino}"
    return any(line.split()[5:6] == [device] for line in held.splitlines() if "->" not in line)
