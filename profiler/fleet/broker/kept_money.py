"""The purse on disk: each change of it is written before the worker is told, so a broker that is killed can be replaced."""

from __future__ import annotations

import fcntl
import time
from typing import TYPE_CHECKING

import msgspec

from profiler.core.errors import RunDirectoryError
from profiler.core.json import DecodeError
from profiler.fleet.broker.purse import MoneyLine, Purse
from profiler.storage.line_file import LineFile
from profiler.storage.whole_file import write_whole

if TYPE_CHECKING:
    from pathlib import Path

NAME = "broker-money.jsonl"
LOCK = "broker.lock"
LOCK_WITHIN_S = 1.0

_encode_lines = msgspec.json.Encoder().encode_lines
_decode = msgspec.json.Decoder(MoneyLine).decode


class KeptMoney:
    """`found` says that an earlier broker has left something."""

    def __init__(self, folder: Path, purse: Purse) -> None:
        self._path = folder / NAME
        self._purse = purse
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = LineFile(folder / LOCK)
        lock(self._lock)
        lines = self._read()
        self.found = bool(lines)
        told, purse.gone = purse.gone, 0
        purse.take_up(lines)
        # What the folders tell may be in the hands of workers that still hold money; only what is more is news.
        purse.gone = max(purse.gone, told - sum(each.granted for each in purse.accounts.values()))
        write_whole(self._path, _encode_lines(_state(purse)))
        self._file = LineFile(self._path)

    def write(self) -> None:
        """Write what has changed; raises `StorageError` when that cannot be done, and then nobody may be told."""
        if changes := self._purse.changes:
            self._file.write(_encode_lines(changes))
            self._purse.changes = []

    def _read(self) -> list[MoneyLine]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]  # the answer to a torn last line was never sent
        try:
            return [_decode(line) for line in whole.splitlines()]
        except DecodeError as error:
            raise RunDirectoryError(
                f"{self._path}: expected what the broker has lent, found something else: {error}",
                hint="remove it if no worker of this run is alive any more; then the folders of the run tell what was spent",
            ) from error

    def close(self) -> None:
        self._file.close()
        self._lock.close()


def lock(file: LineFile) -> None:
    """Of two brokers each would lend the whole cap. One that was killed a moment ago may still hold the lock."""
    give_up_at = time.monotonic() + LOCK_WITHIN_S
    while True:
        try:
            fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > give_up_at:
                file.close()
                raise RunDirectoryError(
                    f"{file.path}: another broker serves this run", hint="stop that command, or wait for it to end"
                ) from error
            time.sleep(LOCK_WITHIN_S / 10)
        except OSError as error:
            file.close()
            raise RunDirectoryError(
                f"{file.path}: cannot be locked, so two brokers could lend one cap: {error.strerror}",
                hint="let shards have their even share, without --broker, or keep the run where the file system has locks",
            ) from error
        else:
            return


def _state(purse: Purse) -> list[MoneyLine]:
    """The purse as lines, as few as possible."""
    return [
        MoneyLine(settled=purse.gone),
        *(MoneyLine(who=who, settled=0) for who in sorted(purse.settled)),
        *purse.held(),
    ]
