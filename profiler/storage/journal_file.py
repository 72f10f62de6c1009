"""The journal while a run appends to it; how often it is forced to the device is what `--fsync` says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import anyio

from profiler.core.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskGroup

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
        self._unsynced = False
        self._resting = False  # a sync is under way, or was less than a second ago
        self._timer: asyncio.TimerHandle | None = None

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
        self._unsynced = True

    def sync_if_due(self, tasks: TaskGroup, *, wake: Callable[[], None]) -> None:
        """Begin to sync, in a task, what was appended; where that was done less than a second ago, `wake` is called in
        time: it must ask again."""
        if self._unsynced and not self._resting and self._fsync == "interval":
            self._resting = True
            tasks.start_soon(self._sync_and_rest, wake)

    async def _sync_and_rest(self, wake: Callable[[], None]) -> None:
        await self.sync_the_rest()
        self._timer = asyncio.get_running_loop().call_later(FSYNC_INTERVAL_S, self._rested, wake)

    def _rested(self, wake: Callable[[], None]) -> None:
        self._resting = False
        if self._unsynced:
            wake()

    def forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def sync_the_rest(self) -> None:
        """Sync in a thread what was not synced yet."""
        if self._fsync != "interval" or not self._unsynced:
            return
        self._unsynced = False
        try:
            await anyio.to_thread.run_sync(self._sync)
        except StorageError:
            self._fsync = "off"  # the kernel may have dropped the pages: a second success would be a lie
            raise

    def _sync(self) -> None:
        self._file.sync()
        if self._ledger is not None:
            self._ledger.sync()
