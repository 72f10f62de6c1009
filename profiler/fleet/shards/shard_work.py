"""The work of one command on a shard: it hands out every N-th range of a run, and puts nothing together."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from profiler.core.errors import BudgetReached
from profiler.dataset import unchanged
from profiler.engine.reuse import tell_taken
from profiler.fleet.coordination.coordinator import Coordinator
from profiler.fleet.coordination.looks import FleetLooks
from profiler.fleet.coordination.onlookers import run_looked_at
from profiler.fleet.jobs import job_of
from profiler.fleet.preparing.known_answers import lay_down
from profiler.fleet.preparing.prepare import owed
from profiler.fleet.sessions import begun_session, bound_by_of, ended_session
from profiler.fleet.shards.broker_service import DistantBroker, token_of
from profiler.fleet.shares import even_share
from profiler.money.budget import usd
from profiler.money.prices import pico
from profiler.storage import journal
from profiler.storage.line_file import LineFile
from profiler.storage.names import KNOWN_ANSWERS
from profiler.storage.reading.unfinished_fleet import UnfinishedFleet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from profiler.engine.options import Options
    from profiler.fleet.coordination.onlookers import Watch
    from profiler.fleet.drivers.driver import Driver
    from profiler.fleet.messages import Job
    from profiler.fleet.preparing.prepare import Prepared, Range
    from profiler.storage.reuse.reusable import Reusable
    from profiler.storage.shared_runs.object_store import ObjectStore


class Shard(NamedTuple):
    """The one with this number, from 0, of so many; how many processes answer it, which broker lends to it, and the store in
    which shards without a common folder meet."""

    number: int
    of: int
    processes: int = 1
    broker: str | None = None
    store: ObjectStore | None = None

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, number: int) -> bool:
        """Whether the range with this number is one of its own."""
        return number % self.of == self.number


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
        self._left = left
        self._live = prepared.source.mode == "live"
        prepared.folders.reopen(of=self._is_mine)
        merged = prepared.folders.merged()
        self.end, self._spent_before = (0, 0) if merged is None else (merged.end, merged.money.gone)
        self.total = self._items_before(table.count)
        self.kept = self._kept()
        self._gone = prepared.folders.money(of=self._is_mine)
        self._looks = FleetLooks(prepared, total=self.total)
        self._looks.committed = self.total - self.left()
        self._broker: DistantBroker | None = None
        name = f"{shard.number}-{KNOWN_ANSWERS}"
        self._known = lay_down(reusable, prepared, name=name, tell=tell)
        if self._live:
            self._looks.money = self._gone
            if shard.broker is not None:
                token = token_of(prepared.folders, os.environ)
                self._broker = DistantBroker(shard.broker, token=token, capped=self._cap() is not None)

    def _is_mine(self, index: int) -> bool:
        return self._shard.has(self._prepared.table.range_of(index))

    def _belongs(self, piece: Range) -> bool:
        return self._is_mine(piece[0])

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
        return sum(end - first for first, end in filter(self._belongs, pieces))

    @property
    def complete(self) -> bool:
        return not self.left()

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
            finally:
                tell_taken(f"shard {self._shard}", coordinator.taken, of=self.total, tell=self._tell)
        unchanged.expect_unwritten(path, since=stamp, sha256=sha256)

    def _job_of(self, number: int, cap: int | None) -> Job:
        """Of all processes of all shards each has an equal share."""
        place = self._shard.number * self._processes + number % self._processes
        lender, workers = None, self._shard.of * self._processes
        if self._broker is not None:
            alone = even_share(self._prepared.experiment, self._options, worker=place, workers=workers)
            lender, cap = msgspec.structs.replace(self._broker.lender(number), alone=alone), None
        job = job_of(
            self._prepared, self._options, worker=place, workers=workers, cap=cap, lender=lender, known=self._known
        )
        return msgspec.structs.replace(job, worker=number)

    def _cap(self) -> int | None:
        """The share of this shard, in pico-dollars, with what it has spent."""
        if not self._live:
            return None
        said, own = self._options.max_cost_usd, self._prepared.experiment.max_cost_usd
        cap = own if said is None or self._left is not None else said
        rooms = [] if cap is None else [max(0, pico(cap) - self._spent_before) // self._shard.of]
        rooms += [] if self._left is None else [self._left + self._gone.gone]
        return min(rooms, default=None)

    def _share_of_cap(self) -> int | None:
        cap = self._cap()
        return None if cap is None else max(0, cap - self._gone.gone) // self._processes

    def _reached(self) -> BudgetReached:
        if self._broker is not None:
            return BudgetReached("the cap of all shards together could be passed: the broker has nothing left to lend")
        gone = self._prepared.folders.money(of=self._is_mine).gone
        return BudgetReached(
            f"shard {self._shard} could pass its share of the cap{'' if self._left is None else ' over all experiments'}, "
            f"{usd(self._cap() or 0)}: {usd(gone)} spent or maybe billed"
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
                    answered=self._kept() - self.kept,
                    bound_by=bound_by_of(coordinator.bound_by.values()),
                    spent=self._prepared.folders.money(of=self._is_mine) - self._gone,
                )
                file.write(journal.session_line(ended))
