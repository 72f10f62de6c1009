"""Who works on a run that several commands share: one command for each shard, or one alone for the whole of it.

A claim is a lock on a file, which the system releases when its process ends, however it ends. The lock of the run's folder
(`folder_lock`) is not enough: on NFS a lock on a folder counts on its own machine only, one on a file counts everywhere. Where
the file system has no locks, a claim is a lease. `PROFILER_LOCKS=leases` asks for leases where locks are there but
count on one machine only, which nobody can see from here.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import msgspec

from profiler.core.errors import LogError, Problem, RunDirectoryError, UsageError
from profiler.core.json import DecodeError
from profiler.storage.folder_lock import NO_LOCKS
from profiler.storage.names import FLEET
from profiler.storage.shared_runs import lease
from profiler.storage.shared_runs.lease import Claimed
from profiler.storage.whole_file import write_first

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from profiler.storage.shared_runs.lease import Lease

WHOLE: Final = "whole"
LOCKS: Final = "PROFILER_LOCKS"
WAIT: Final = "wait for it to end, or stop it"


class _NoLocks(Exception):
    """The file system has no locks."""


class Claims:
    """The claims on one run and its shards."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._folder = run / FLEET / "claims"
        self._division = run / FLEET / "shards.json"
        self.away = run / FLEET / "who"  # only where the answers go to an object store: the name of this folder there

    def agree(self, of: int) -> int:
        """Into how many shards the run is divided: as the first one who came has said."""
        if self.divided_into() is None:
            write_first(self._division, msgspec.json.encode({"of": of}))
        return self.divided_into() or of

    def divided_into(self) -> int | None:
        """Into how many shards the run is divided; None if no shard has begun."""
        try:
            found: int = msgspec.json.decode(self._division.read_bytes(), type=dict[str, int])["of"]
        except FileNotFoundError:
            return None
        except (OSError, DecodeError, KeyError) as error:
            raise LogError([Problem(path=str(self._division), message=f"cannot be read: {error}")]) from error
        return found

    @contextmanager
    def shard(self, number: int) -> Iterator[Lease | None]:
        """Answer one shard, alone. What it yields is to be renewed every now and then."""
        name = _name_of(number)
        busy = f"{self._run}: another command answers {name}"
        with self._claimed() as held:
            try:
                self._lock(held, WHOLE, fcntl.LOCK_SH, busy=self._whole_is_taken)
                self._lock(held, name, fcntl.LOCK_EX, busy=busy)
                found = None
            except _NoLocks:
                found = self._lease(held, name)
                if lease.is_taken(self._folder, WHOLE):  # after taking its own: so at least one of two sees the other
                    raise Claimed(self._whole_is_taken, hint=WAIT) from None
            yield found

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Go on with all of the run, or put it together, while nobody answers a shard of it."""
        if self.away.exists():
            raise RunDirectoryError(
                f"{self._run}: is the part of a run in an object store that one machine has answered",
                hint="profiler merge --store URL puts the run together, in another --output-dir",
            )
        busy = f"{self._run}: shards are being answered here, or another command has the whole run"
        with self._claimed() as held:
            try:
                self._lock(held, WHOLE, fcntl.LOCK_EX, busy=busy)
            except _NoLocks:
                found = self._lease(held, WHOLE)
                if self.answered_now():
                    raise Claimed(busy, hint=WAIT) from None
                held.enter_context(_renewed(found))
            yield

    def answered_now(self) -> list[int]:
        """The numbers of the shards that are being answered right now."""
        found = {int(match[1]) for path in _files_in(self._folder) if (match := re.match(r"shard-(\d+)\.", path))}
        return sorted(filter(self._is_answered, found))

    @property
    def _whole_is_taken(self) -> str:
        return f"{self._run}: another command goes on with the whole run, or puts it together"

    @contextmanager
    def _claimed(self) -> Iterator[ExitStack]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunDirectoryError(
                f"{self._run}: cannot be used as a run directory: {error.strerror}",
                hint="choose another place with --output-dir",
            ) from error
        with ExitStack() as held:
            yield held

    def _lock(self, held: ExitStack, name: str, operation: int, *, busy: str) -> None:
        if _wanted() == "leases":
            raise _NoLocks
        path = self._folder / f"{name}.lock"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)  # NFS wants it open for writing
            held.callback(_close, fd)
            fcntl.flock(fd, operation | fcntl.LOCK_NB)
            moved = not path.exists() or not os.path.samestat(os.fstat(fd), path.stat())
        except BlockingIOError as error:
            raise Claimed(busy, hint=WAIT) from error
        except OSError as error:
            if error.errno in NO_LOCKS:
                raise _NoLocks from error
            raise RunDirectoryError(f"{path}: cannot be locked: {error.strerror}") from error
        if moved:  # the run was put together after this command had opened the file
            raise Claimed(busy, hint="try again")

    def _lease(self, held: ExitStack, name: str) -> Lease:
        found = lease.take(self._folder, name)
        held.callback(found.release)
        return found

    def _is_answered(self, number: int) -> bool:
        name = _name_of(number)
        with ExitStack() as held, suppress(_NoLocks, FileNotFoundError):
            if not (self._folder / f"{name}.lock").exists():
                raise _NoLocks
            try:
                self._lock(held, name, fcntl.LOCK_SH, busy="")
            except Claimed:
                return True
        return lease.is_taken(self._folder, name)


def _wanted() -> str:
    found = os.environ.get(LOCKS, "locks")
    if found not in ("locks", "leases"):
        raise UsageError(f"{LOCKS}: found {found!r}, expected leases or locks")
    return found


def _name_of(number: int) -> str:
    return f"shard-{number}"


def _files_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 (the names are all that is wanted)
    except FileNotFoundError:
        return []


def _close(fd: int) -> None:
    with suppress(OSError):  # nothing was written through it, and the lock goes with it all the same
        os.close(fd)


@contextmanager
def _renewed(found: Lease) -> Iterator[None]:
    """Renew a lease every now and then, in a thread, because the code inside the block has no event loop."""
    over = threading.Event()

    def renew() -> None:
        with suppress(RunDirectoryError):  # whoever has it now does the same work, with the same bytes
            while not over.wait(lease.RENEWED_EVERY_S):
                found.renew()

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
