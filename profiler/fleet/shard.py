"""One of N commands that share a run and know nothing of each other: on the machines of a job array, say.

Each answers every N-th range, in the folder that all of them see, with an equal share of the limits and of the cap.
`merge` puts the run together when all have ended.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import msgspec

from profiler.core.errors import BudgetReached, RunDirectoryError
from profiler.dataset import unchanged
from profiler.engine.session import one_error
from profiler.engine.threads import in_thread
from profiler.fleet.broker_service import DistantBroker, token_of
from profiler.fleet.coordinator import Coordinator
from profiler.fleet.jobs import job_of
from profiler.fleet.looks import FleetLooks
from profiler.fleet.onlookers import run_looked_at
from profiler.fleet.prepare import owed, prepare
from profiler.fleet.process_driver import processes as process_driver
from profiler.fleet.sessions import begun_session, bound_by_of, ended_session
from profiler.money.budget import usd
from profiler.money.prices import pico
from profiler.provider.source import source_of
from profiler.storage import journal, run_directory
from profiler.storage.claims import Claims
from profiler.storage.folder_lock import locked
from profiler.storage.identity import examine
from profiler.storage.lease import RENEWED_EVERY_S
from profiler.storage.line_file import LineFile
from profiler.storage.ranges import RangeFolders
from profiler.storage.run_directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from profiler.engine.options import Options
    from profiler.fleet.driver import Driver
    from profiler.fleet.messages import Job
    from profiler.fleet.onlookers import Watch
    from profiler.fleet.prepare import Prepared, Range
    from profiler.manifest.settings import Experiment
    from profiler.storage.lease import Lease


class Shard(NamedTuple):
    """The one with this number, from 0, of so many."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


class ShardEnded(NamedTuple):
    """What a shard has done: items answered now, and those of its ranges that were answered before; of a run that is put
    together already, all of its items."""

    folder: Path
    answered_now: int
    kept: int
    elapsed_s: float

    @property
    def was_complete(self) -> bool:
        return not self.answered_now


async def run_shard(
    experiment: Experiment,
    *,
    shard: Shard,
    options: Options,
    processes: int = 1,
    broker: str | None = None,
    watch: Watch | None = None,
    note: Callable[[str], None],
    on: Callable[[Path], AbstractAsyncContextManager[Driver]] = process_driver,
) -> ShardEnded:
    """Answer the ranges of one shard. The same call goes on after an error.

    With the address of a `broker` it lends what limits and cap allow; without one each shard has an equal share.
    """
    folder, begun = options.folder_of(experiment), time.perf_counter()
    if (count := _complete(experiment, folder, options)) is not None:
        return ShardEnded(folder, 0, count, time.perf_counter() - begun)
    folders, claims = RangeFolders(folder), Claims(folder)
    with one_error(), locked(folder, shared=True, claimed=True), claims.shard(shard.number) as lease:
        if (count := _complete(experiment, folder, options)) is not None:  # put together while this one came
            folders.remove()
            return ShardEnded(folder, 0, count, time.perf_counter() - begun)
        _expect_as_many(folder, shard, claims.divided_into())
        async with on(folders.logs / f"shard-{shard.number}") as driver:
            for number in range(processes):
                driver.start(number)
            prepared = await in_thread(
                partial(prepare, experiment, RunDirectory(folder), options=options, processes=shard.of)
            )
            _expect_as_many(folder, shard, claims.agree(shard.of))
            work = ShardWork(prepared, shard, options=options, processes=processes, tell=note)
            if broker is not None and prepared.source.mode == "live":
                work.borrow_from(broker)
            await work.run(driver, watch=watch, also=[] if lease is None else [partial(_renewing, lease)])
    return ShardEnded(folder, work.total - work.kept, work.kept, time.perf_counter() - begun)


def _complete(experiment: Experiment, folder: Path, options: Options) -> int | None:
    """How many items the complete run has that is here, None where it is not complete. A job array that is started once
    more, after its run was put together, has nothing to do."""
    before = run_directory.earlier(folder)
    if before is None:
        return None
    if before.summary is None:
        raise RunDirectoryError(
            f"{folder}: holds a run that one process has begun, and shards cannot take it up",
            hint="go on with it without --shard (--processes N uses more cores), or choose another --output-dir",
        )
    source = source_of(experiment, mode=options.resolved_mode, environ=os.environ)
    asked = examine(experiment, source=source, selection=options.selection, before=before).header
    run_directory.refuse_another(folder, before.identity, asked.identity)
    if options.retry_failed and before.summary["counts"].get("error"):
        raise RunDirectoryError(
            f"{folder}: is complete, and what failed in it is asked again by one process", hint="leave --shard out"
        )
    return before.count


def _expect_as_many(folder: Path, shard: Shard, of: int | None) -> None:
    """The ranges are divided once: otherwise some would be answered twice, and some by nobody."""
    if of not in (None, shard.of):
        raise RunDirectoryError(
            f"{folder}: was begun as {of} shards, and --shard {shard} would divide it into {shard.of}",
            hint=f"go on with --shard K/{of} for K from 0 to {of - 1}, each with as many --processes as its machine has "
            "cores for; or end it on one machine with --processes N and without --shard",
        )


async def _renewing(lease: Lease) -> None:
    while True:
        await anyio.sleep(RENEWED_EVERY_S)
        await in_thread(lease.renew)


class ShardWork:
    """One command's work on a shard. It stands where the merger of a run by one command stands: nothing is merged here."""

    end = 0

    def __init__(
        self,
        prepared: Prepared,
        shard: Shard,
        *,
        options: Options,
        processes: int,
        tell: Callable[[str], None],
    ) -> None:
        table = prepared.table
        self._prepared = prepared
        self._shard = shard
        self._options = options
        self._processes = processes
        self._tell = tell
        self._live = prepared.source.mode == "live"
        bounds = [*table.firsts, table.count]
        self.total = sum(
            bounds[number + 1] - bounds[number] for number in range(shard.number, len(table.places), shard.of)
        )
        self.kept = self.total - self._left()
        self._gone = prepared.folders.money(of=self._is_mine)
        self._looks = FleetLooks(prepared, total=self.total)
        self._looks.committed = self.kept
        self._broker: DistantBroker | None = None
        if self._live:
            self._looks.money = self._gone

    def borrow_from(self, url: str) -> None:
        token = token_of(self._prepared.folders, os.environ)
        self._broker = DistantBroker(url, token=token, capped=self._cap() is not None)

    def _is_mine(self, index: int) -> bool:
        return self._prepared.table.range_of(index) % self._shard.of == self._shard.number

    def _belongs(self, piece: Range) -> bool:
        return self._is_mine(piece[0])

    def _left(self) -> int:
        """Items of its ranges that nobody has committed."""
        pieces = owed(self._prepared.folders, self._prepared.table, since=0)
        return sum(end - first for first, end in filter(self._belongs, pieces))

    @property
    def complete(self) -> bool:
        return not self._left()

    def advance(self) -> None:
        """What is committed stays where it is."""

    async def run(
        self, driver: Driver, *, watch: Watch | None, also: Sequence[Callable[[], Awaitable[None]]] = ()
    ) -> None:
        """`also` runs beside it; when it fails, the calls in flight end, and it is raised."""
        prepared, options = self._prepared, self._options
        path, sha256 = prepared.experiment.dataset_path, prepared.table.identity["dataset_sha256"]
        stamp = unchanged.stamp(path)
        unchanged.expect_unchanged(path, since=prepared.table.dataset_stamp, sha256=sha256)
        if self.kept:
            self._tell(f"shard {self._shard}: {self.kept:,} of its {self.total:,} answers are kept")
        coordinator = Coordinator(
            prepared,
            driver=driver,
            merger=self,
            looks=self._looks,
            job_of=self._job_of,
            tell=self._tell,
            belongs=self._belongs,
            broker=self._broker,
        )
        for number in range(self._processes):
            coordinator.employ(number, cap=self._share_of_cap())
        with self._told_session(coordinator):
            try:
                await run_looked_at(
                    coordinator,
                    self._looks,
                    watch=watch,
                    signals=options.signals,
                    status=None,
                    also=also,
                    tell=self._tell,
                )
            except* BudgetReached as reached:
                raise self._reached() from reached
        unchanged.expect_unwritten(path, since=stamp, sha256=sha256)

    def _job_of(self, number: int, cap: int | None) -> Job:
        """Of all processes of all shards each has an equal share."""
        place = self._shard.number * self._processes + number % self._processes
        lender, workers = None, self._shard.of * self._processes
        if self._broker is not None:
            lender, cap = self._broker.lender(number), None
        job = job_of(self._prepared, self._options, worker=place, workers=workers, cap=cap, lender=lender)
        return msgspec.structs.replace(job, worker=number)

    def _cap(self) -> int | None:
        """The share of this shard, in pico-dollars."""
        said, own = self._options.max_cost_usd, self._prepared.experiment.max_cost_usd
        cap = own if said is None else said
        return None if cap is None or not self._live else pico(cap) // self._shard.of

    def _share_of_cap(self) -> int | None:
        cap = self._cap()
        return None if cap is None else max(0, cap - self._gone.gone) // self._processes

    def _reached(self) -> BudgetReached:
        if self._broker is not None:
            return BudgetReached("the cap of all shards together could be passed: the broker has nothing left to lend")
        gone = self._prepared.folders.money(of=self._is_mine).gone
        return BudgetReached(
            f"shard {self._shard} could pass its share of the cap, {usd(self._cap() or 0)}: {usd(gone)} spent or maybe billed"
        )

    @contextmanager
    def _told_session(self, coordinator: Coordinator) -> Iterator[None]:
        """Note that a session begins and how it ended, for whoever merges. A killed one leaves only its beginning."""
        if not self._live:
            yield
            return
        session: dict[str, Any] = {**begun_session(processes=self._processes), "shard": str(self._shard)}
        sessions = self._prepared.folders.sessions
        sessions.mkdir(exist_ok=True)
        with LineFile(sessions / f"{self._shard.number}.jsonl") as file:
            file.write(journal.session_line(session))
            try:
                yield
            finally:
                ended = ended_session(
                    session,
                    answered=self.total - self._left() - self.kept,
                    bound_by=bound_by_of(coordinator.bound_by.values()),
                    spent=self._prepared.folders.money(of=self._is_mine) - self._gone,
                )
                file.write(journal.session_line(ended))
