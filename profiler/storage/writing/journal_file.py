"""The journal while a run appends to it; how often it is forced to the device is what `--fsync` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import anyio

from profiler.core.errors import StorageError
from profiler.storage.whole_file import sync_folder
from profiler.storage.writing.linger import Linger

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
        self._named = False  # whether the names in its folder are on the device too
        self._syncing = False
        self._linger = Linger()  # of what was appended first since the last sync

    @property
    def size(self) -> int:
        return self._file.size

    def append(self, block: bytes, indexes: list[int], *, rescue: bool = False) -> None:
        """Append the records of these dialogues. `rescue`: the run ends because of the disk, so sync them at once."""
        try:
            self._file.write(block)
            if self._fsync == "always":
                self._file.sync()
            elif rescue and self._fsync != "off":
                self._sync()
        except StorageError:
            self.failed = True
            raise
        if self._ledger is not None:
            self._ledger.recorded(indexes)

    def sync_if_due(self, tasks: TaskGroup, *, wake: Callable[[], None]) -> None:
        """Begin to sync, in a task, what was appended a second ago. Until then `wake` is called in time: it must ask
        again."""
        if self._syncing or not self._file.unsynced or self._fsync != "interval":
            return
        if self._linger.over:
            self._linger.forget()
            self._syncing = True
            tasks.start_soon(self._sync_now, tasks, wake)
        else:
            self._linger.begin(FSYNC_INTERVAL_S, wake=wake)

    async def _sync_now(self, tasks: TaskGroup, wake: Callable[[], None]) -> None:
        await self.sync_the_rest()
        self._syncing = False
        self.sync_if_due(tasks, wake=wake)

    def forget_timer(self) -> None:
        self._linger.forget()

    async def sync_the_rest(self) -> None:
        """Sync in a thread what was not synced yet."""
        if self._fsync != "interval" or not self._file.unsynced:
            return
        try:
            await anyio.to_thread.run_sync(self._sync)
        except StorageError:
            self._fsync = "off"  # the kernel may have dropped the pages: a second success would be a lie
            raise

    def _sync(self) -> None:
        self._file.sync()
        if not self._named:
            sync_folder(self._file.path.parent)
            self._named = True
        if self._ledger is not None:
            self._ledger.sync()
