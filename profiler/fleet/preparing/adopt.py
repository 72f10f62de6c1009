"""Takes up a run that one process has begun, so that several can go on with it.

Its journal is taken apart: each record goes to the journal of a candidate for its range. What no record tells (money of
dialogues that were cut off, sessions) becomes what is put together so far. The table comes last, and only then the journal of the
one process goes: a kill before that leaves the run as it was, a kill after it the run of several.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import msgspec

from profiler.core.json import dump_line
from profiler.metrics import state_json
from profiler.metrics.reduction import Reduction
from profiler.storage import journal, ledger
from profiler.storage.line_file import LineFile
from profiler.storage.names import JOURNAL, LEDGER, REQUESTS, RESPONSES
from profiler.storage.shared_runs.ranges import Merged
from profiler.storage.whole_file import remove, sync_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from profiler.metrics.metric import Metric
    from profiler.storage.shared_runs.range_table import Table
    from profiler.storage.shared_runs.ranges import RangeFolders

AT_ONCE = 1 << 16  # bytes of one range that are kept until they are written


def adopt(run: Path, table: Table, folders: RangeFolders, metrics: Sequence[Metric[Any]]) -> None:
    """Make of the run that one process has begun one for several. The caller holds the lock of the folder."""
    shutil.rmtree(folders.root / "attempts", ignore_errors=True)  # of an adoption that was killed
    left = ledger.read(run)
    replay = journal.Replay(run / JOURNAL, count=table.count, left=left)
    candidates = _Candidates(table, folders)
    with (run / JOURNAL).open("rb") as file:
        for place in replay:
            file.seek(place.offset)
            candidates.add(place.entry.index, file.read(place.size))
    candidates.close()
    counted = msgspec.Raw(state_json.dump(Reduction(metrics)))
    folders.note(Merged(counted=counted, money=replay.carried, sessions=replay.sessions))
    folders.begin(table)
    let_go(run)


def started(run: Path) -> str | None:
    """When that one process began it."""
    header = journal.read_header(run / JOURNAL)
    return None if header is None else header.started


def let_go(run: Path) -> None:
    """Remove what only a run by one process has. The ledger goes last, as it does in any run."""
    for name in (REQUESTS, RESPONSES, JOURNAL, LEDGER):
        remove(run / name)
    sync_folder(run)


class _Candidates:
    """The first candidate for every range of which anything is answered."""

    def __init__(self, table: Table, folders: RangeFolders) -> None:
        self._table = table
        self._folders = folders
        self._bounds = [*table.firsts, table.count]
        self._waiting: dict[int, list[bytes]] = {}
        self._sizes: dict[int, int] = {}
        self._begun: set[int] = set()

    def add(self, index: int, line: bytes) -> None:
        number = self._table.range_of(index)
        self._waiting.setdefault(number, []).append(line)
        self._sizes[number] = self._sizes.get(number, 0) + len(line)
        if self._sizes[number] >= AT_ONCE:
            self._write(number)

    def _write(self, number: int, *, last: bool = False) -> None:
        first, end = self._bounds[number], self._bounds[number + 1]
        folder = self._folders.candidate(first, 0).folder
        folder.mkdir(parents=True, exist_ok=True)
        with LineFile(folder / JOURNAL) as file:
            if number not in self._begun:
                self._begun.add(number)
                header = msgspec.structs.replace(self._table.header, first=first, count=end - first)
                file.write(dump_line(msgspec.to_builtins(header)))
            file.write(b"".join(self._waiting.pop(number, ())))
            self._sizes.pop(number, None)
            if last:
                file.sync()

    def close(self) -> None:
        for number in sorted(self._begun | self._waiting.keys()):
            self._write(number, last=True)
