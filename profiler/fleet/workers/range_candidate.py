"""One candidate for a range: the engine answers it in a folder of its own, its logs are counted, and it is committed."""

from __future__ import annotations

from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
from anyio.lowlevel import checkpoint

from profiler.core.errors import ProfilerError
from profiler.dataset.places import reading_from, reading_lines
from profiler.engine.session import answer_all, take_over
from profiler.engine.threads import in_thread
from profiler.metrics import state_json
from profiler.metrics.builtin import all_builtin
from profiler.storage import journal, run_directory
from profiler.storage.journal import Header
from profiler.storage.line_file import LineFile
from profiler.storage.money import Money
from profiler.storage.names import JOURNAL, LEDGER, REQUESTS, RESPONSES
from profiler.storage.reading.saved_run import reducing, to_its_end
from profiler.storage.score_log import publish
from profiler.storage.shared_runs.candidate_money import inherited
from profiler.storage.shared_runs.commits import Committed
from profiler.storage.whole_file import remove
from profiler.storage.writing import open_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from profiler.core.nouns import Dialogue
    from profiler.engine.options import Options
    from profiler.engine.run_resources import RunResources
    from profiler.engine.session import Known
    from profiler.fleet.messages import Grant
    from profiler.manifest.settings import Experiment
    from profiler.metrics.metric import Metric
    from profiler.metrics.reduction import Reduction
    from profiler.money.budget import Budget
    from profiler.money.prices import RateCard
    from profiler.provider.source import Source
    from profiler.provider.validate import Checked
    from profiler.storage.run_directory import RunDirectory
    from profiler.storage.shared_runs.range_table import Table
    from profiler.storage.shared_runs.ranges import Candidate, RangeFolders
    from profiler.storage.writing.open_run import OpenRun


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What all ranges of a worker have in common."""

    experiment: Experiment
    options: Options
    source: Source
    card: RateCard | None
    metrics: Sequence[Metric[Any]]
    table: Table
    folders: RangeFolders
    client: Checked
    shared: RunResources
    counting: anyio.CapacityLimiter  # a metric of the user's own need not bear threads
    tell: Callable[[str], None]
    known: Known | None = None  # finds the answers of earlier runs
    boot: str | None = None  # the start of the machine during which commits count; None: for good


class RangeCandidate:
    """A candidate while it goes on."""

    def __init__(self, grant: Grant, *, name: str, setting: Setting) -> None:
        self.first = grant.first
        self.name = name  # of this range among those of its worker
        self.won = False
        self.inherited = Money()  # what the candidate before it has spent for the answers that it took over
        self.money = Money()  # what it has spent itself, when it has ended
        self.bound_by: dict[str, Any] | None = None
        self._end = grant.end
        self._candidate: Candidate | None = None
        self._opened: OpenRun | None = None
        self._asked = False  # all is answered, and only to be counted
        self._setting = setting

    @property
    def end(self) -> int:
        return self._end if self._opened is None else self._opened.end

    @property
    def begun(self) -> int:
        """The index behind the last item that was begun, or need not be."""
        if self._opened is None:
            return self.first
        return self.end if self._asked else max(self._opened.begun, self._opened.first)

    @property
    def taken(self) -> int:
        """Answers of earlier runs that this candidate has taken over."""
        return 0 if self._opened is None else self._opened.taken

    def overtaken(self) -> bool:
        """Whether somebody took this process for dead: there is another candidate for its range, or it has been counted."""
        candidate = self._candidate
        if candidate is None or self._asked:
            return False
        next_one = self._setting.folders.candidate(candidate.first, candidate.number + 1)
        return next_one.folder.exists() or not candidate.folder.exists()

    def cut(self, *, keep: int) -> int:
        """Leave the rest to others, but for so many items that nobody has begun; returns where the range ends now.

        What has its line or its answer in the folder stays, and a dialogue's repeats stay together.
        """
        run, pool = self._opened, self._setting.shared.pool_of(self.name)
        if run is None or pool is None or self._asked:
            return self.end
        last_kept = self.first + run.done.rfind(1) + 1
        end = max(self.begun + keep, self.first + run.asked, last_kept, self.first + 1)
        end += -end % self._setting.table.repeats
        if end < run.end:
            left_out, run.end = run.end - end, end  # first the end: the pool looks for it at once
            pool.leave_out(left_out)
        return run.end

    async def run(self) -> None:
        sync = self._setting.options.fsync != "off"
        candidate = await in_thread(partial(self._setting.folders.begin_candidate, self.first, sync=sync))
        self._candidate = candidate
        self.inherited = inherited(candidate.folder)
        try:
            await self._answer(candidate)
        except ProfilerError:
            if candidate.folder.exists():
                raise
            # One that was taken for dead has won: its answers were put together, and the folders of all others removed.

    async def _answer(self, candidate: Candidate) -> None:
        setting = self._setting
        with run_directory.hold(candidate.folder, claimed=True, tell=setting.tell) as directory:  # by its name
            opened = await in_thread(self._open, directory)
            with closing(opened), setting.shared.money.of(setting.experiment, opened, card=setting.card) as budget:
                self._opened = opened
                await self._take_over(opened)
                self.bound_by = await answer_all(
                    msgspec.structs.replace(setting.experiment, experiment_id=self.name),
                    opened,
                    options=setting.options,
                    source=setting.source,
                    client=setting.client,
                    budget=budget,
                    shared=setting.shared,
                    read=self._read,
                )
                self._asked = True
                await in_thread(opened.force_journal)  # it may be long until it is counted
            self.money = _money(budget, opened) - self.inherited
            async with setting.counting:
                reduction = await self._count(candidate.folder)
                self.won = await in_thread(self._commit, candidate, reduction, self.money)

    async def _take_over(self, opened: OpenRun) -> None:
        """What earlier runs were answered is there at once, for all of the range. So none of it is left to others then."""
        setting = self._setting
        if setting.known is None or not opened.owed:
            return
        await take_over(
            setting.experiment,
            opened,
            options=setting.options,
            known=setting.known,
            stopped=lambda: setting.shared.stopped,
            read=self._read,
        )

    def _open(self, directory: RunDirectory) -> OpenRun:
        table, options = self._setting.table, self._setting.options
        header = Header(
            journal=journal.FORMAT,
            first=self.first,
            count=self._end - self.first,
            identity=table.identity,
            started=table.started,
            dataset_stamp=table.dataset_stamp,
        )
        directory.refuse_another_run(header.identity)
        sync = options.fsync != "off"
        if directory.earlier is None:
            return open_run.begin(directory.folder, header, sync=sync)
        return open_run.take_up(directory.folder, header, retry_failed=options.retry_failed, sync=sync)

    @contextmanager
    def _read(self, dialogue: int) -> Iterator[Iterator[Dialogue]]:
        """The dialogues from this number on."""
        setting, table = self._setting, self._setting.table
        place = table.place_before(dialogue)
        skip = dialogue - place.dialogue
        if table.copied:
            reading = reading_lines(setting.folders.dialogues, place, skip=skip)
        else:
            experiment = setting.experiment
            reading = reading_from(experiment.dataset_path, place, skip=skip, fields=experiment.dataset_fields)
        with reading as dialogues:
            yield dialogues

    async def _count(self, folder: Path) -> Reduction:
        """Count the logs in steps between the calls of the next range: a thread would only be in the way of the event
        loop, both want to compute. A live run's loop must not wait for any step, and a metric of the user's own may
        take its time."""
        setting = self._setting
        count = partial(reducing, folder, setting.metrics, first=self.first, tell=setting.tell)
        if setting.source.mode == "live" or not all_builtin(setting.metrics):
            return await in_thread(to_its_end, count())
        steps = count()
        with closing(steps):
            while True:
                try:
                    next(steps)
                except StopIteration as ended:
                    found: Reduction = ended.value
                    return found
                await checkpoint()

    def _commit(self, candidate: Candidate, reduction: Reduction, money: Money) -> bool:
        """What is committed for good is on the device first, and its journal goes only afterwards: a kill before leaves a whole
        candidate, from which the next one takes everything. A commit that may not count for good leaves its logs to the kernel
        and keeps its journal, if that is on the device."""
        setting = self._setting
        for_good, synced = setting.boot is None, setting.options.fsync != "off"
        publish(candidate.folder, sync=for_good)
        if for_good and synced:
            for name in (REQUESTS, RESPONSES):
                with LineFile(candidate.folder / name) as file:
                    file.sync()
        counted = msgspec.Raw(state_json.dump(reduction))
        committed = Committed(
            first=self.first, end=self.end, candidate=candidate.number, money=money, boot=setting.boot, counted=counted
        )
        won = setting.folders.commit(candidate, committed)
        if won and (for_good or not synced):
            for name in (JOURNAL, LEDGER):
                remove(setting.folders.done(self.first) / name)
        return won


def _money(budget: Budget | None, opened: OpenRun) -> Money:
    if budget is None:
        return Money()
    return Money(budget.spent, budget.maybe, opened.carried.cut_off)
