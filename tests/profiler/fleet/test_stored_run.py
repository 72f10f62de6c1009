"""Shards without a common folder meet in an object store, and merge gives their run the bytes of a run by one process."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from profiler.core.errors import Interrupted, RunDirectoryError
from profiler.engine.options import Options
from profiler.fleet import prepare
from profiler.fleet.merge import merge
from profiler.fleet.shard import ShardEnded, run_shard
from profiler.fleet.shard_work import Shard
from profiler.fleet.stored_run import StoredRun
from profiler.manifest.settings import Experiment, MockSettings
from profiler.storage.attempt_money import money_in, own_money
from profiler.storage.object_store import ObjectStore, object_store
from profiler.storage.ranges import Attempt, Committed, RangeFolders
from tests.profiler.building import line_of, record
from tests.profiler.fleet.inline import inline
from tests.profiler.fleet.sites import by_one, by_several, dataset, experiment, results
from tests.profiler.fleet.test_run import COMPLETE, stopping
from tests.profiler.storage.directories import opened
from tests.profiler.storage.test_ranges import SIZE, table

DOLLAR = 10**12
stores = pytest.importorskip("obstore.store", reason="the extra object-store is not installed")


class Killed(Exception):
    """The machine is gone, with its disk."""


class Failing(ObjectStore):
    """A store whose machine is killed at its put with this number, from 1: before it, or after it, when nobody hears the
    reply."""

    def __init__(self, store: Any, *, at: int, after: bool) -> None:
        super().__init__(store, told="memory")
        self.puts = 0
        self.at = at
        self.after = after

    def put(self, name: str, content: bytes | Path) -> None:
        self.puts += 1
        if self.puts == self.at and not self.after:
            raise Killed
        super().put(name, content)

    def create(self, name: str, content: bytes) -> bytes:
        self.puts += 1
        if self.puts == self.at and not self.after:
            raise Killed
        found = super().create(name, content)
        if self.puts == self.at:
            raise Killed
        return found


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)


def options_of(folder: Path, **how: Any) -> Options:
    return Options(output_dir=folder, mode="mock", fsync="off", **how)


async def answered(
    asked: Experiment, folder: Path, number: int, of: int, store: ObjectStore, *, watch: Any = None, **how: Any
) -> ShardEnded:
    shard = Shard(number, of, store=store)
    with anyio.fail_after(60):
        return await run_shard(
            asked, shard=shard, options=options_of(folder, **how), note=print, watch=watch, on=inline
        )


@pytest.mark.parametrize(
    ("kind", "in_memory", "how"),
    [("jsonl", True, {}), ("json", False, {"sample": 60}), ("csv", True, {"tags": ("t1",)})],
)
async def test_machines_that_see_nothing_of_each_other_give_the_bytes_of_one_process(
    tmp_path: Path, kind: str, in_memory: bool, how: dict[str, Any]
) -> None:
    asked = experiment(dataset(tmp_path, 90, kind))
    store = ObjectStore(stores.MemoryStore(), told="memory") if in_memory else object_store((tmp_path / "s").as_uri())
    async with anyio.create_task_group() as at_once:
        for number in range(3):
            at_once.start_soon(lambda n: answered(asked, tmp_path / f"m{n}", n, 3, store, **how), number)
    done = merge(asked, options=options_of(tmp_path / "merged"), store=store, note=print)
    assert results(done.folder) == await by_one(asked, tmp_path / "one", **how)
    assert {path.name for path in done.folder.iterdir()} == COMPLETE
    again = merge(asked, options=options_of(tmp_path / "elsewhere"), store=store, note=print)  # all is still there
    assert results(again.folder) == results(done.folder)


async def test_a_machine_that_is_lost_with_its_disk_is_replaced_by_any_other(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, 120), mock=MockSettings(latency_s=0.002), concurrency=4)
    store = ObjectStore(stores.MemoryStore(), told="memory")
    with pytest.raises(Interrupted):
        await answered(asked, tmp_path / "m0", 0, 2, store, watch=stopping(after=20))
    shutil.rmtree(tmp_path / "m0")
    await answered(asked, tmp_path / "m1", 1, 2, store)
    with pytest.raises(RunDirectoryError, match=r"items are not answered yet: .*owed by shard 0 of 2"):
        merge(asked, options=options_of(tmp_path / "merged"), store=store, note=print)
    calls: list[int] = []
    again = await answered(asked, tmp_path / "m2", 0, 2, store, watch=counting(calls))
    assert (again.answered_now + again.kept, again.kept > 20) == (60, True)
    assert calls[-1] <= 60 - 20  # what the first had answered, and had put there when it ended, was not asked again
    assert (await answered(asked, tmp_path / "m3", 0, 2, store)).was_complete
    done = merge(asked, options=options_of(tmp_path / "merged"), store=store, note=print)
    assert results(done.folder) == await by_one(asked, tmp_path / "one")


def counting(calls: list[int]) -> Any:
    """How many items the workers of a command have answered."""

    async def watch(looks: Any) -> None:
        while True:
            calls.append(sum(each.status.answered for each in looks.workers.values() if each.status is not None))
            await anyio.sleep(0.01)

    return watch


@pytest.mark.parametrize(
    ("at", "after", "disk_is_lost"),
    [(5, False, True), (6, False, False), (7, False, True), (7, True, False), (7, True, True), (12, True, False)],
)
async def test_a_kill_in_the_middle_of_an_upload_commits_nothing_or_all(
    tmp_path: Path, at: int, after: bool, disk_is_lost: bool
) -> None:
    """Of each range three logs are put, then what was counted, and then it is committed: the seventh is the first commit."""
    asked = experiment(dataset(tmp_path, 40))
    store = Failing(stores.MemoryStore(), at=at, after=after)
    with pytest.raises(Killed):
        await answered(asked, tmp_path / "m0", 0, 1, store)
    assert len(store.names("shared/done")) == (at - 2) // 5 - (at % 5 == 2 and not after)
    store.at = 0
    if disk_is_lost:
        shutil.rmtree(tmp_path / "m0")
    ended = await answered(asked, tmp_path / "m0", 0, 1, store)
    assert ended.answered_now + ended.kept == 40
    done = merge(asked, options=options_of(tmp_path / "merged"), store=store, note=print)
    assert results(done.folder) == await by_one(asked, tmp_path / "one")


async def test_of_two_machines_that_answer_one_shard_one_counts_for_each_range(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, 60))
    store = ObjectStore(stores.MemoryStore(), told="memory")
    ended = []

    async def answer(machine: str) -> None:
        ended.append(await answered(asked, tmp_path / machine, 0, 1, store))

    async with anyio.create_task_group() as at_once:
        at_once.start_soon(answer, "m0")
        at_once.start_soon(answer, "m1")
    assert len(ended) == 2
    attempts = {name.partition("/")[0] for name in store.names("shared/attempts")}
    assert (len(attempts), len(store.names("shared/done"))) == (12, 6)
    done = merge(asked, options=options_of(tmp_path / "merged"), store=store, note=print)
    assert results(done.folder) == await by_one(asked, tmp_path / "one")


async def test_what_belongs_elsewhere_is_refused(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, 40))
    store = ObjectStore(stores.MemoryStore(), told="memory")
    await answered(asked, tmp_path / "m0", 0, 2, store)
    with pytest.raises(RunDirectoryError, match="begun as 2 shards, and --shard 0/3"):
        await answered(asked, tmp_path / "m1", 0, 3, store)
    with pytest.raises(RunDirectoryError, match="limit: the run has None, now it is 5"):
        await answered(asked, tmp_path / "m2", 1, 2, store, limit=5)
    await answered(asked, tmp_path / "other", 0, 2, ObjectStore(stores.MemoryStore(), told="other"))
    with pytest.raises(RunDirectoryError, match="what is answered here went to other, not to memory"):
        await answered(asked, tmp_path / "other", 0, 2, store)
    with pytest.raises(RunDirectoryError, match="is the part of a run in an object store"):
        await by_several(asked, tmp_path / "m0", processes=2)
    with pytest.raises(RunDirectoryError, match="is the part of a run in an object store"):
        merge(asked, options=options_of(tmp_path / "m0"), store=store, note=print)
    with pytest.raises(RunDirectoryError, match="found no run that shards share"):
        merge(
            asked, options=options_of(tmp_path / "none"), store=ObjectStore(stores.MemoryStore(), told="n"), note=print
        )


class Machine:
    """One folder in which a run is answered by hand."""

    def __init__(self, folder: Path, store: ObjectStore) -> None:
        self.folders = RangeFolders(folder / "shared")
        self.stored = StoredRun(store, self.folders)
        self.stored.pull_table()
        if self.folders.table() is None:
            self.folders.begin(table(identity={"mode": "live"}))
        self.stored.agree(1)
        self.stored.take_in(lambda _: True)

    def answer(self, *items: int) -> Attempt:
        """In a new attempt; each costs a dollar."""
        attempt = self.folders.begin_attempt(0)
        with opened(attempt.folder) as run:
            for item in items:
                run.journal.write(line_of(record(item, cost_usd=1.0)))
        return attempt

    def commit(self, attempt: Attempt) -> None:
        money = own_money(attempt.folder)
        committed = Committed(first=0, end=SIZE, money=money, counted=msgspec.Raw(b"{}"))
        assert self.folders.commit(attempt, committed)
        self.stored.put()


def test_every_dollar_of_lost_late_and_double_machines_is_counted_once(tmp_path: Path) -> None:
    store = ObjectStore(stores.MemoryStore(), told="memory")
    lost, double = Machine(tmp_path / "lost", store), Machine(tmp_path / "double", store)
    lost.answer(0, 1)
    lost.stored.put_open()
    after = Machine(tmp_path / "after", store)
    assert own_money(after.folders.attempt(0, 0).folder).spent == 2 * DOLLAR  # its share of a cap knows of it
    after.answer(2)
    after.stored.put_open()
    winner = after.answer(3, 4, 5, 6, 7)
    assert money_in(winner.folder).spent == 8 * DOLLAR  # the answers of the lost one were taken over
    after.commit(winner)
    double.commit(double.answer(*range(SIZE)))
    merging = StoredRun(store, RangeFolders(tmp_path / "merged/shared"))
    merging.pull()
    (counts,) = merging._folders.chain(0, SIZE)
    assert counts.money.spent == 5 * DOLLAR
    assert merging.money_of_others().spent == (2 + 1 + 8) * DOLLAR
    zombie = lost.answer(2)  # and was not lost after all
    lost.stored.put_open()
    assert merging.money_of_others().spent == (2 + 1 + 8 + 1) * DOLLAR
    lost.commit(zombie)
    assert merging.money_of_others().spent == (2 + 1 + 8 + 1) * DOLLAR
    assert store.get("shared/done/0") == after.folders.done(0).joinpath("stored-as").read_bytes()
    assert lost.folders.committed(0) == counts  # who has lost knows what counts
