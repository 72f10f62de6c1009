"""A claim on something in a folder whose file system has no locks: a file that its owner renews again and again. When nobody
has renewed it for a minute, its owner is taken for dead, and somebody else may have it.

The clocks of the machines need not agree: what is compared are the times that the file system puts on files.

A lease makes sure that nobody pays for the same answers twice while all goes well. It does not decide whose answers count:
a process that was stopped for long may believe that it still has one. That is decided by the commit of a candidate.
"""

from __future__ import annotations

import os
import platform
import secrets
import time
from typing import TYPE_CHECKING, Final

from profiler.core.errors import RunDirectoryError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

RENEWED_EVERY_S: Final = 10.0
LAPSES_AFTER_S: Final = 60.0
RELEASED: Final = b"released\n"


class Claimed(RunDirectoryError):
    """Another process holds the lease."""


class Lease:
    """A lease that this process holds."""

    def __init__(self, path: Path, owner: bytes) -> None:
        self._path = path
        self._owner = owner
        self._renewed = time.monotonic()

    def renew(self) -> None:
        """Renew the lease. Raises if another process has it by now; a file system that fails for a moment is tolerated."""
        try:
            with self._path.open("r+b") as file:
                theirs = file.read() != self._owner
                if not theirs:
                    os.utime(file.fileno())
            # A higher number beside ours: we stood still for so long that somebody has taken our place.
            theirs = theirs or self._path not in _generations(self._path.parent, self._path.name.split(".")[0])[-1:]
        except FileNotFoundError:
            theirs = True
        except OSError:
            theirs = time.monotonic() > self._renewed + LAPSES_AFTER_S
        else:
            self._renewed = time.monotonic()
        if theirs:
            raise RunDirectoryError(
                f"{self._path}: this process was not heard of for {LAPSES_AFTER_S:.0f} s, and another one has taken its place",
                hint="what it has answered is kept; look for a machine that stands still, or a file system that does",
            )

    def release(self) -> None:
        try:
            with self._path.open("r+b") as file:
                if file.read() == self._owner:
                    file.seek(0)
                    file.truncate()
                    file.write(RELEASED)
        except OSError:  # it is gone, or lapses by itself
            return


def take(folder: Path, name: str) -> Lease:
    """Take the lease of this name, or raise `Claimed`.

    Each lease has a number. After a dead or a released one comes the next number, and of two processes that take it the
    file system lets one have it. Numbers only grow: a process that looked at the folder long ago, and so takes a number
    that was free again, finds a higher one beside it.
    """
    owner = f"{platform.node()}, process {os.getpid()} ({secrets.token_hex(8)})\n".encode()
    before = _generations(folder, name)
    path = folder / f"{name}.lease.{_number(before[-1]) + 1 if before else 1}"
    try:
        now = _now(folder)
        for old in before:
            _expect_lapsed(old, now)
        with path.open("xb") as file:
            file.write(owner)
        if _generations(folder, name)[-1:] != [path]:  # our number was free because we looked at the folder long ago
            path.unlink(missing_ok=True)
            raise Claimed(f"{path}: another process begins at the same time", hint="try again")
        for old in before:
            old.unlink(missing_ok=True)
    except FileExistsError as error:
        raise Claimed(f"{path}: another process begins at the same time", hint="try again") from error
    except OSError as error:
        raise StorageError(folder, error) from error
    return Lease(path, owner)


def is_taken(folder: Path, name: str) -> bool:
    found = _generations(folder, name)
    if not found:
        return False
    now = _now(folder)
    return any(_left_s(path, now) > 0 for path in found)


def _generations(folder: Path, name: str) -> list[Path]:
    """The leases of this name that are there, the last one last."""
    found = [path for path in folder.glob(f"{name}.lease.*") if path.suffix[1:].isdecimal()]
    return sorted(found, key=_number)


def _number(path: Path) -> int:
    return int(path.suffix[1:])


def _expect_lapsed(path: Path, now: float) -> None:
    left = _left_s(path, now)
    if left <= 0:
        return
    who = path.read_text(encoding="utf-8", errors="replace").partition(" (")[0].strip() or "somebody"
    raise Claimed(
        f"{path.parent.parent.parent}: {path.name.partition('.')[0]} is in the hands of {who}",
        hint=f"wait for it to end; if it was killed, it is taken for dead in {left:.0f} s",
    )


def _left_s(path: Path, now: float) -> float:
    """For how many seconds the lease is still valid.

    Opening the file refreshes its attributes, which a network file system may otherwise serve from a cache.
    """
    try:
        with path.open("rb") as file:
            released = file.read(len(RELEASED)) == RELEASED
            return 0.0 if released else os.fstat(file.fileno()).st_mtime + LAPSES_AFTER_S - now
    except FileNotFoundError:
        return 0.0


def _now(folder: Path) -> float:
    """The current time by the clock of the file system."""
    path = folder / f".now-{secrets.token_hex(8)}"
    try:
        with path.open("xb") as file:
            file.write(b"\n")
            file.flush()
            return os.fstat(file.fileno()).st_mtime
    finally:
        path.unlink(missing_ok=True)
