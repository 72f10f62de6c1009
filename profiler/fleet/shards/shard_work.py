"""The work of one command on a shard: it hands out every N-th range of a run, and puts nothing together."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import BudgetReached
from profiler.dataset import unchanged
from profiler.engine.onlookers import onlooking
from profiler.engine.reuse import tell_taken
from profiler.fleet.coordination.coordinator import Coordinator
from profiler.fleet.coordination.fleet_view import FleetView
from profiler.fleet.jobs import job_of
from profiler.fleet.preparing.known_answers import lay_down
from profiler.fleet.preparing.prepare import owed
from profiler.fleet.sessions import begun_session, bound_by_of, ended_session
from profiler.fleet.shards.broker_service import distant_broker, token_of
from profiler.fleet.shards.shard_caps import ShardCaps, out_of_money
from profiler.fleet.shares import even_share
from profiler.storage import journal
from profiler.storage.line_file import LineFile
from profiler.storage.names import KNOWN_ANSWERS
from profiler.storage.reading.unfinished_fleet import UnfinishedFleet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from profiler.engine.options import Options
    from profiler.fleet.coordination.fleet_view import Watch
    from profiler.fleet.drivers.driver import Driver
    from profiler.fleet.drivers.reached_broker import ReachedBroker
    from profiler.fleet.messages import Job
    from profiler.fleet.preparing.prepare import Prepared
    from profiler.fleet.shards.which_shard import Shard
    from profiler.storage.reuse.reusable import Reusable


class ShardWork:
    """One command's work on a shard. It stands where the merger of a run by one command stands, but puts nothing together:
    up to `end` a command for the whole run has done so before."""

    def __init__(
        self,
        prepared: Prepared,
        shard: Shard,
        *,
        options: Options,
        tell: Callable[[str], None],
        reusable: Reusable | None = None,
        left: int | None = None,
    ) -> None:
        """`left` is what a cap over several experiments leaves to this shard, in pico-dollars; None without such a cap."""
        table = prepared.table
        self._prepared = prepared
        self._shard = shard
        self._options = options
        self._processes = shard.processes
        self._tell = tell
        self._live = prepared.source.mode == "live"
        prepared.folders.reopen(of=self._is_mine)
        merged = prepared.folders.merged()
        self.end = 0 if merged is None else merged.end
        self.total = self._items_before(table.count)
        self.kept = self._kept()
        self._gone = prepared.folders.money(of=self._is_mine)
        self._caps = None
        if self._live:
            spent = 0 if merged is None else merged.money.gone
            self._caps = ShardCaps(prepared.experiment, shard, options, merged=spent, gone=self._gone.gone, left=left)
        self._view = FleetView(prepared, total=self.total)
        self._view.committed = self.total - self.left()
        self._broker: ReachedBroker | None = None
        name = f"{shard.number}-{KNOWN_ANSWERS}"
        self._known = lay_down(reusable, prepared, name=name, tell=tell)
        if self._live:
            self._view.money = self._gone
            if shard.broker is not None:
                token = token_of(prepared.folders, os.environ)
                self._broker = distant_broker(
                    shard.broker, token=token, capped=self._caps is not None and self._caps.cap is not None
                )

    def _is_mine(self, index: int) -> bool:
        return self._shard.has(self._prepared.table.range_of(index))

    def _items_before(self, end: int) -> int:
        """How many items of its ranges lie before an index."""
        table = self._prepared.table
        bounds = [*table.firsts, table.count]
        numbers = range(self._shard.number, len(table.places), self._shard.of)
        return sum(max(0, min(bounds[number + 1], end) - bounds[number]) for number in numbers)

    def _kept(self) -> int:
        """Items of its ranges that have an answer."""
        found = UnfinishedFleet(self._prepared.folders.root.parent, self._prepared.table)
        return self._items_before(self.end) + found.kept_of(self._is_mine)

    def left(self) -> int:
        """Items of its ranges that nobody has committed."""
        pieces = owed(self._prepared.folders, self._prepared.table, since=self.end)
        return sum(end - first for first, end in pieces if self._is_mine(first))

    @property
    def complete(self) -> bool:
        return not self.left()

    def advance(self) -> None:
        """Nothing to do: what is committed stays where it is."""

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
            view=self._view,
            job_of=self._job_of,
            tell=self._tell,
            belongs=self._is_mine,
            broker=self._broker,
        )
        for number in range(self._processes):
            coordinator.employ(number, cap=None if self._caps is None else self._caps.for_a_process)
        with self._told_session(coordinator):
            try:
                async with onlooking(
                    coordinator,
                    self._view,
                    status=dict,
                    watch=watch,
                    signals={signal.SIGUSR1: coordinator.join_late} if options.signals else None,
                    also=also,
                    tell=self._tell,
                ):
                    await coordinator.run()
            except* BudgetReached as reached:
                raise self._reached(next_call=coordinator.refused_call) from reached
            finally:
                tell_taken(f"shard {self._shard}", coordinator.taken, of=self.total, tell=self._tell)
        unchanged.expect_unwritten(path, since=stamp, sha256=sha256)

    def _job_of(self, number: int, cap: int | None) -> Job:
        """The job of a worker: an equal share for each process of each shard."""
        # One that replaces a lost worker has a number beyond the last, and the share of one that is gone.
        place = self._shard.number * self._processes + number % self._processes
        lender, workers = None, self._shard.of * self._processes
        if self._broker is not None:
            alone = even_share(self._prepared.experiment, self._options, worker=place, workers=workers)
            lender, cap = msgspec.structs.replace(self._broker.lender(number), alone=alone), None
        job = job_of(
            self._prepared, self._options, worker=place, workers=workers, cap=cap, lender=lender, known=self._known
        )
        return msgspec.structs.replace(job, worker=number)

    def _reached(self, *, next_call: int) -> BudgetReached:
        if self._broker is not None or self._caps is None:
            return out_of_money()
        gone = self._prepared.folders.money(of=self._is_mine).gone
        return self._caps.reached(gone=gone, next_call=next_call, answered=self._kept(), of=self.total)

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
                    answered=self._kept() - self.kept,
                    bound_by=bound_by_of(coordinator.bound_by.values()),
                    spent=self._prepared.folders.money(of=self._is_mine) - self._gone,
                )
                file.write(journal.session_line(ended))
