"""The journal while a run appends to it; how often it is forced to the device is what `--fsync` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import anyio

from profiler.core.errors import StorageError

if TYPE_CHECKING:
    from profiler.storage.ledger import Ledger
    from profiler.storage.line_file import LineFile

Fsync = Literal["interval", "always", "off"]
FSYNC_INTERVAL_S = 1.0


class JournalFile:
    """Appends blocks of records, and then frees the places of their dialogues in the ledger."""

    def __init__(self, file: LineFile, *, fsync: Fsync, ledger: Ledger | None = None) -> None:
        self.failed = False
        self._file = file
        self._ledger = ledger
        self._fsync: Fsync = fsync
        self._unsynced = anyio.Event()

    @property
    def size(self) -> int:
        return self._file.size

    def append(self, block: bytes, indexes: list[int], *, rescue: bool = False) -> None:
        """Append the records of these dialogues. `rescue`: the run ends because of the disk, so sync them at once."""
        try:
            self._file.write(block)
            if self._fsync == "always" or (rescue and self._fsync != "off"):
                self._file.sync()
        except StorageError:
            self.failed = True
            raise
        if self._ledger is not None:
            for index in indexes:
                self._ledger.leave(index)  # the record tells the money from here on
        self._unsynced.set()

    async def sync_now_and_then(self) -> None:
        """Sync at most once a second, in a thread. Runs until it is cancelled."""
        while self._fsync == "interval":
            await self._unsynced.wait()
            self._unsynced = anyio.Event()
            try:
                await anyio.to_thread.run_sync(self._sync)
            except StorageError:
                self._fsync = "off"  # the kernel may have dropped the pages: a second success would be a lie
                raise
            await anyio.sleep(FSYNC_INTERVAL_S)

    async def sync_the_rest(self) -> None:
        if self._fsync == "interval" and self._unsynced.is_set():
            self._unsynced = anyio.Event()
            await anyio.to_thread.run_sync(self._sync)

    def _sync(self) -> None:
        self._file.sync()
        if self._ledger is not None:
            self._ledger.sync()
