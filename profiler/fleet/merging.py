"""Puts the committed ranges of a run together: logs one behind the other, in order, and what was counted of them.

It goes as far as everything before is committed. What it has done so far stands in `fleet/merged.json`, which is written
after the logs are on the device; a range is removed only afterwards. So a kill at any moment costs some copying.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from profiler.core.errors import LogError, Problem, StorageError
from profiler.core.wording import silent
from profiler.fleet.pipes import write_all
from profiler.metrics import state_json
from profiler.metrics.reduction import Reduction, reduce_outcomes
from profiler.storage.money import Money
from profiler.storage.names import REQUESTS, RESPONSES, SCORES
from profiler.storage.reading.read_logs import read_outcomes
from profiler.storage.reading.saved_run import reduce_and_score
from profiler.storage.score_log import ScoreLog, publish
from profiler.storage.shared_runs.candidate_money import inherited
from profiler.storage.shared_runs.commits import Committed
from profiler.storage.shared_runs.ranges import Merged
from profiler.storage.whole_file import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.metrics.metric import Metric
    from profiler.storage.shared_runs.range_table import Table
    from profiler.storage.shared_runs.ranges import Candidate, RangeFolders

SAVE_EVERY_S: Final = 2.0
TOLD: Final = 256  # candidates: workers say once a second what they have spent, and are given up after a few
AT_ONCE: Final = 1 << 20


class Merging(Protocol):
    """Puts together what is committed; it has done so for the items before `end`."""

    @property
    def end(self) -> int: ...

    @property
    def complete(self) -> bool: ...

    def advance(self) -> None: ...


class Merger:
    """Puts one run together. Its caller holds the lock of the folder."""

    def __init__(
        self, run: Path, folders: RangeFolders, table: Table, metrics: Sequence[Metric[Any]], *, sync: bool
    ) -> None:
        self._folders = folders
        self._table = table
        self._metrics = metrics
        self._sync = sync
        self._parts = {REQUESTS: run / REQUESTS, RESPONSES: run / RESPONSES, SCORES: folders.scores}
        self._saved = 0.0
        self._run = run
        self.merged = self._restored()
        if self.complete:
            self._take_name_back()
        for name, path in self._parts.items():
            self._cut(path, self.merged.sizes.get(name, 0))
        try:
            self.reduction = state_json.load(bytes(self.merged.counted), metrics)
        except ValueError:  # the manifest names other metrics now
            self.reduction = self._recounted()
        self._clear()

    @property
    def end(self) -> int:
        return self.merged.end

    @property
    def complete(self) -> bool:
        return self.merged.end == self._table.count

    def advance(self) -> None:
        """Append the committed ranges that follow, as far as there are any."""
        merged = self.merged
        before = merged.end
        for found in self._folders.chain(merged.end, self._table.count):
            folder = self._folders.done(found.first)
            self.reduction.merge(self._counted_of(found, folder))
            for name, path in self._parts.items():
                merged.sizes[name] = _append(folder / name, path, at=merged.sizes.get(name, 0))
            merged.money += found.money
            merged.twice -= inherited(folder)  # of what the candidates before it have spent, it has taken this over
            merged.end = found.end
            merged.winners.append(found.first)
            if found.candidate is not None:
                self._note_told(self._folders.candidate(found.first, found.candidate), found.money)
        if merged.end > before and (self.complete or time.monotonic() > self._saved + SAVE_EVERY_S):
            self.save()

    def save(self) -> None:
        """Write down how far the run is put together; a kill after this costs nothing of it."""
        merged, folders = self.merged, self._folders
        # Seen before they are counted: what a process spends after that, and before it dies, would be in no bill.
        held = {each.first for each in folders.candidates() if each.first < merged.end and folders.is_held(each.first)}
        others = self._count_others()
        if self._sync:
            for path in self._parts.values():
                _sync(path)
        merged.counted = msgspec.Raw(state_json.dump(self.reduction))
        folders.note(merged)
        for first in {*merged.winners, *others} - held:
            folders.forget(first)
        merged.winners = [first for first in merged.winners if folders.done(first).exists()]
        self._saved = time.monotonic()

    def count_the_late(self) -> None:
        """What other candidates have spent since it was last counted is part of the bill."""
        if self._folders.others(self.merged):
            self.save()

    def give_names(self) -> None:
        """Give the scores the name under which everybody looks for them: the run is complete."""
        path = self._parts[RESPONSES].with_name(SCORES)
        if self._folders.scores.exists():
            replace(self._folders.scores, path)

    def _take_name_back(self) -> None:
        """Undo what a command left that was killed between naming the scores and writing the summary."""
        path = self._parts[RESPONSES].with_name(SCORES)
        if path.exists() and not self._folders.scores.exists():
            replace(path, self._folders.scores)

    def _counted_of(self, found: Committed, folder: Path) -> Reduction:
        try:
            return state_json.load(bytes(found.counted), self._metrics)
        except ValueError:
            return reduce_and_score(folder, self._metrics, first=found.first, tell=silent)  # faults are told at the end

    def _recounted(self) -> Reduction:
        """What is put together so far, counted by other metrics."""
        scores = ScoreLog(self._folders.root, self._metrics)
        outcomes = read_outcomes(self._run, complete=False)
        reduction = reduce_outcomes(outcomes, self._metrics, note=scores.note)
        scores.finish()
        publish(self._folders.root)
        self.merged.sizes[SCORES] = self._folders.scores.stat().st_size
        return reduction

    def _count_others(self) -> set[int]:
        """Candidates that came too late for their items: what they have spent since this was last asked."""
        merged, now = self.merged, dict[int, Money]()
        for candidate, spent in self._folders.late(merged):
            now[candidate.first] = now.get(candidate.first, Money()) + spent
            self._note_told(candidate, spent)
        for first, money in now.items():
            news = money - merged.others.get(first, Money())
            merged.money += news
            merged.twice += news
        merged.others = now
        return set(now)

    def _note_told(self, candidate: Candidate, money: Money) -> None:
        told = self.merged.told
        told.pop(candidate.folder.name, None)
        told[candidate.folder.name] = money.gone
        while len(told) > TOLD:
            del told[next(iter(told))]

    def _clear(self) -> None:
        """Remove what a kill has left of items that are put together already, and whose money is counted."""
        folders, merged = self._folders, self.merged
        for first in merged.winners:
            if not folders.is_held(first):
                folders.forget(first)
        merged.winners = [first for first in merged.winners if folders.done(first).exists()]

    def _restored(self) -> Merged:
        found = self._folders.merged()
        if found is None:
            self._expect_nothing_put_together()
        return found or Merged(counted=msgspec.Raw(state_json.dump(Reduction(self._metrics))))

    def _expect_nothing_put_together(self) -> None:
        """Without merged.json the logs would be cut back to nothing. That is right where a kill came before it was first written:
        then the first range still has its folder."""
        path = self._parts[RESPONSES]
        begun = self._folders.committed(0) is not None or self._folders.candidates(0)
        if not begun and path.exists() and path.stat().st_size:
            message = f"has answers, and {self._folders.root / 'merged.json'}, which vouches for them, is gone"
            hint = "put it back, or start over with --fresh, which moves the run aside, and --reuse what it has"
            raise LogError([Problem(path=str(path), message=message, hint=hint)])

    def _cut(self, path: Path, size: int) -> None:
        """Cut a log back to its noted size: a kill came between appending and noting."""
        try:
            with path.open("ab") as file:
                if file.tell() < size:
                    message = f"found {file.tell():,} bytes, merged.json vouches for {size:,}"
                    raise LogError([Problem(path=str(path), message=message, hint="start over with --fresh")])
                file.truncate(size)
        except OSError as error:
            raise StorageError(path, error) from error


def _append(source: Path, target: Path, *, at: int) -> int:
    """Copy a whole file behind what is there; returns where it ends."""
    try:
        with source.open("rb", buffering=0) as reading, target.open("r+b", buffering=0) as writing:
            writing.seek(at)
            left = os.fstat(reading.fileno()).st_size
            while left > 0:
                left -= _copy(reading.fileno(), writing.fileno(), left)
            return writing.tell()
    except OSError as error:
        raise StorageError(target, error) from error


def _copy(source: int, target: int, size: int) -> int:
    """Copy some bytes, inside the kernel if it can do that between these files."""
    if hasattr(os, "copy_file_range"):
        with suppress(OSError):  # not between these two file systems, or the disk is full, which the next lines tell
            if (copied := os.copy_file_range(source, target, size)) > 0:
                return copied
    block = os.read(source, min(size, AT_ONCE))
    if not block:
        raise OSError(errno.EIO, "the file has become shorter")
    write_all(target, block)
    return len(block)


def _sync(path: Path) -> None:
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(path, error) from error
