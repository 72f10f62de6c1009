"""The story of a run by several processes: prepare, start the workers, hand out, put together, write the summary."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from profiler.core.errors import BudgetReached
from profiler.core.one_error import one_error
from profiler.core.wording import silent
from profiler.dataset import unchanged
from profiler.engine import runner
from profiler.engine.onlookers import onlooking
from profiler.engine.preflight import tell_survey
from profiler.engine.result import facts_of_run, result_of, summary_of
from profiler.engine.reuse import tell_taken
from profiler.engine.threads import in_thread
from profiler.fleet.coordination.coordinator import Coordinator
from profiler.fleet.coordination.crew import bounded
from profiler.fleet.coordination.fleet_view import FleetView
from profiler.fleet.drivers.process_driver import processes as process_driver
from profiler.fleet.hiring import KeptCrew, hired
from profiler.fleet.jobs import job_of
from profiler.fleet.merging import Merger
from profiler.fleet.preparing.known_answers import lay_down
from profiler.fleet.preparing.prepare import prepare
from profiler.fleet.preparing.same_dataset import expect_same_dataset
from profiler.fleet.sessions import begun_session, bound_by_of, bound_by_of_shards, ended_session
from profiler.fleet.shares import settings_of_broker
from profiler.fleet.spending import Spending
from profiler.storage import run_directory, status_file
from profiler.storage.reading.unfinished_fleet import UnfinishedFleet
from profiler.storage.shared_runs.claims import Claims
from profiler.storage.shared_runs.commits import boot_to_note
from profiler.storage.shared_runs.range_table import read_table
from profiler.storage.shared_runs.ranges import RangeFolders

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.engine.options import Options
    from profiler.engine.result import Result
    from profiler.fleet.coordination.crew import Crew
    from profiler.fleet.coordination.fleet_view import Watch
    from profiler.fleet.drivers.reached_broker import OwnBroker
    from profiler.fleet.hiring import On
    from profiler.fleet.messages import Job
    from profiler.fleet.preparing.prepare import Prepared
    from profiler.manifest.settings import Experiment
    from profiler.storage.reuse.reusable import Reusable
    from profiler.storage.run_directory import RunDirectory


async def run_by_processes(
    experiment: Experiment,
    *,
    options: Options,
    processes: int,
    left: int | None = None,
    reusable: Reusable | None = None,
    watch: Watch | None = None,
    note: Callable[[str], None] | None = None,
    on: On | KeptCrew = process_driver,
) -> Result:
    """Run one experiment by several processes of this machine. After a `ProfilerError` the same call resumes it, with any
    number of processes. A run that one process has begun is taken up too; one that is complete is for one process.

    `left` is what a cap over several experiments leaves to this one, in pico-dollars. `reusable` are the answers that
    `--reuse` names. `on` says what runs the workers, or which of them are there already.
    """
    tell = note or silent
    folder = options.folder_of(experiment)
    before = None if options.fresh else run_directory.earlier(folder)
    if before is not None and before.complete:
        return await runner.run(experiment, options=options, watch=watch, note=note)
    begun = time.perf_counter()
    here = on is process_driver or isinstance(on, KeptCrew)
    hire = on.hire if isinstance(on, KeptCrew) else partial(hired, on=on)
    if here:
        processes = bounded(processes, tell=tell)
    with (
        one_error(),
        run_directory.hold(folder, fresh=options.fresh, tell=tell) as directory,
        Claims(folder).whole(),
    ):
        async with hire(RangeFolders(folder).logs, processes) as crew:
            try:
                known = None
                if here and directory.earlier is None and read_table(folder) is None:
                    known = await crew.survey(experiment, options.selection, folder=RangeFolders(folder).surveyed)
                prepared = await in_thread(
                    partial(prepare, experiment, directory, options=options, processes=processes, known=known)
                )
            finally:
                if read_table(folder) is None:
                    RangeFolders(folder).remove()
            crew.complete(ranges=len(prepared.table.places))
            fleet = Fleet(
                prepared,
                directory,
                options=options,
                processes=len(crew.numbers),
                spending=Spending(prepared, options=options, left=left),
                tell=tell,
                reusable=reusable,
            )
            await fleet.run(crew, watch=watch)
        found = await in_thread(fleet.conclude)
        return result_of(directory, found, kept=fleet.kept + fleet.taken, elapsed_s=time.perf_counter() - begun)


class Fleet:
    """One command's work on a run."""

    def __init__(
        self,
        prepared: Prepared,
        directory: RunDirectory,
        *,
        options: Options,
        processes: int,
        spending: Spending,
        tell: Callable[[str], None],
        reusable: Reusable | None = None,
    ) -> None:
        self._prepared = prepared
        self._directory = directory
        self._options = options
        self._processes = processes
        self._tell = tell
        self._live = prepared.source.mode == "live"
        self._boot: str | None = None
        prepared.folders.reopen()
        seen = UnfinishedFleet(directory.folder, prepared.table)
        self.kept = seen.kept
        self.taken = 0  # answers of earlier runs
        self._merger = Merger(
            directory.folder, prepared.folders, prepared.table, prepared.metrics, sync=options.fsync != "off"
        )
        self._spending = spending
        self._session = begun_session(processes=processes)
        self._bound_by: dict[str, Any] | None = None
        self._broker: OwnBroker | None = None
        self._known = lay_down(reusable, prepared, tell=tell)
        self._view = FleetView(prepared)
        self._view.committed = self._committed_items()
        if self._live:
            self._view.money = spending.before

    # --- before -------------------------------------------------------------------------------------------------

    def _committed_items(self) -> int:
        folders, table = self._prepared.folders, self._prepared.table
        at, found = self._merger.merged.end, self._merger.merged.end
        for first in folders.all_done():
            each = folders.committed(first)
            if each is not None and first >= at:
                found, at = found + each.end - first, each.end
        return min(found, table.count)

    def _tell_begin(self) -> None:
        prepared = self._prepared
        if prepared.survey is not None:
            tell_survey(prepared.experiment, prepared.survey, tell=self._tell)
        if self.kept:
            self._tell(f"resuming: {self.kept:,} of {prepared.table.count:,} answers are kept")

    # --- the run ------------------------------------------------------------------------------------------------

    async def run(self, crew: Crew, *, watch: Watch | None) -> None:
        prepared, options = self._prepared, self._options
        experiment = prepared.experiment
        stamp = await in_thread(partial(expect_same_dataset, prepared, selection=options.selection))
        self._tell_begin()
        if self._live:
            settings = settings_of_broker(
                experiment,
                options,
                workers=self._processes,
                cap=self._spending.whole_cap(),
                gone=self._spending.before.gone,
                kept=self.kept,
            )
            self._broker = await crew.driver.broker(prepared.folders.root, settings)
        here = crew.driver.on_this_machine
        self._boot = boot_to_note(prepared.source, fsync=options.fsync, merged_here=here)
        coordinator = Coordinator(
            prepared,
            driver=crew.driver,
            merger=self._merger,
            view=self._view,
            job_of=self._job_of,
            tell=self._tell,
            broker=self._broker,
        )
        coordinator.next_number = crew.next_number
        for number in crew.numbers:
            coordinator.employ(number, cap=None)
        self._begin_session()
        try:
            async with onlooking(
                coordinator,
                self._view,
                status=lambda: {self._directory.folder: self._view.look()},
                watch=watch,
                signals={signal.SIGUSR1: coordinator.join_late} if options.signals else None,
                also=[] if self._broker is None else [self._broker.keep],
                tell=self._tell,
            ):
                await coordinator.run()
        except* BudgetReached as reached:
            raise self._spending.reached(processes=self._processes, next_call=coordinator.refused_call) from reached
        finally:
            self._bound_by = bound_by_of(
                coordinator.bound_by.values(), together=options.concurrency or experiment.concurrency
            )
            self.taken = coordinator.taken
            tell_taken(experiment.experiment_id, self.taken, of=prepared.table.count, tell=self._tell)
            with anyio.CancelScope(shield=True):
                if self._broker is not None:
                    await self._broker.close()
                await in_thread(self._end_session)
        crew.numbers, crew.next_number = coordinator.free, coordinator.next_number
        sha256 = prepared.table.identity["dataset_sha256"]
        unchanged.expect_unwritten(experiment.dataset_path, since=stamp, sha256=sha256)

    def _job_of(self, number: int, cap: int | None) -> Job:
        broker = self._broker
        return job_of(
            self._prepared,
            self._options,
            worker=number,
            workers=self._processes,
            cap=cap,
            lender=None if broker is None else broker.lender(number),
            known=self._known,
            boot=self._boot,
        )

    # --- after --------------------------------------------------------------------------------------------------

    def _begin_session(self) -> None:
        if self._live:
            self._merger.merged.sessions.append(self._session)
            self._merger.save()

    def _end_session(self) -> None:
        """Note what this session came to, whatever ended it."""
        if self._live:
            answered = UnfinishedFleet(self._directory.folder, self._prepared.table).kept - self.kept
            self._merger.merged.sessions[-1] = ended_session(
                self._session,
                answered=answered,
                bound_by=self._bound_by,
                spent=self._spending.so_far() - self._spending.before,
            )
            self._merger.save()

    def merge(self, sessions: list[dict[str, Any]], *, by_shard: list[int]) -> dict[str, Any]:
        """Put together what shards have committed, and conclude it. `by_shard` is what each of them has spent."""
        merged = self._merger.merged
        if self._live and not merged.by_shard:
            merged.by_shard = by_shard
            self._merger.save()  # before it becomes one sum
        merged.sessions += sessions
        self._merger.advance()
        self._bound_by = bound_by_of_shards(sessions)
        return self.conclude()

    def conclude(self) -> dict[str, Any]:
        """Write the summary of the complete run, and remove what only an unfinished one needs."""
        prepared, merger, options = self._prepared, self._merger, self._options
        merger.count_the_late()
        facts = facts_of_run(
            prepared.experiment, prepared.table.header, prepared.source, options=options, told=self._told()
        )
        found = summary_of(merger.reduction, prepared.experiment, prepared.metrics, facts, tell=self._tell)
        merger.give_names()
        self._directory.write_summary(found)
        prepared.folders.remove()
        status_file.remove(self._directory.folder)
        return found

    def _told(self) -> dict[str, Any]:
        merged = self._merger.merged
        return {
            **self._spending.facts(merged, tell=self._tell),
            "resumed": {"kept": self.kept, "maybe_billed": merged.money.cut_off},
            "sessions": merged.sessions,
            "bound_by": self._bound_by,
        }
