"""Shards without a common folder meet in an object store, and merge gives their run the bytes of a run by one process."""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from profiler.core.errors import Interrupted, RunDirectoryError
from profiler.engine.options import Options
from profiler.fleet.preparing import prepare
from profiler.fleet.shards.merge import merge
from profiler.fleet.shards.shard import ShardEnded, run_shard
from profiler.fleet.shards.stored_run import LOGS, StoredRun
from profiler.fleet.shards.stored_whole import StoredWhole
from profiler.fleet.shards.which_shard import Shard
from profiler.manifest.settings import Experiment, MockSettings
from profiler.storage.shared_runs.candidate_money import money_in, own_money
from profiler.storage.shared_runs.commits import Committed
from profiler.storage.shared_runs.object_store import ObjectStore, object_store
from profiler.storage.shared_runs.ranges import Candidate, RangeFolders
from tests.profiler.building import line_of, record
from tests.profiler.fleet.inline import inline
from tests.profiler.fleet.sites import COMPLETE, by_one, by_several, dataset, experiment, results, stopping
from tests.profiler.storage.directories import opened
from tests.profiler.storage.shared_runs.test_ranges import COUNT, MEMORY, SIZE, table

DOLLAR = 10**12
WHO, FIRST = st.integers(0, 2), st.sampled_from(range(0, COUNT, SIZE))
TABLE = table(identity={"mode": "live"})
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
    with pytest.raises(
        RunDirectoryError, match=r"items are not answered yet: numbers .*owed by shard 0 of 2"
    ) as caught:
        merge(asked, options=options_of(tmp_path / "merged"), store=store, note=print)
    missing, kept = re.findall(r"(\d+) of 120 items|(\d+) answers are kept", str(caught.value))
    assert 60 + 20 <= int(kept[1]) == 120 - int(missing[0])
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
    [(7, False, True), (8, False, False), (9, False, True), (9, True, False), (9, True, True), (14, True, False)],
)
async def test_a_kill_in_the_middle_of_an_upload_commits_nothing_or_all(
    tmp_path: Path, at: int, after: bool, disk_is_lost: bool
) -> None:
    """Of each range three logs are put, then what was counted, and then it is committed: the ninth is the first commit."""
    asked = experiment(dataset(tmp_path, 40))
    store = Failing(stores.MemoryStore(), at=at, after=after)
    with pytest.raises(Killed):
        await answered(asked, tmp_path / "m0", 0, 1, store)
    assert len(store.names("shared/done")) == (at - 4) // 5 - (at % 5 == 4 and not after)
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
    candidates = {name.partition("/")[0] for name in store.names("shared/attempts")}
    assert (len(candidates), len(store.names("shared/done"))) == (12, 6)
    done = merge(asked, options=options_of(tmp_path / "merged"), store=store, note=print)
    assert results(done.folder) == await by_one(asked, tmp_path / "one")


async def test_what_belongs_elsewhere_is_refused(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, 40))
    store = ObjectStore(stores.MemoryStore(), told="memory")
    await answered(asked, tmp_path / "m0", 0, 2, store)
    with pytest.raises(RunDirectoryError, match="begun as 2 shards, and --shard 0/3"):
        await answered(asked, tmp_path / "m1", 0, 3, store)
    with pytest.raises(RunDirectoryError, match="limit: the run has none, now it is 5"):
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
            self.folders.begin(TABLE)
        self.stored.agree(1)
        self.stored.take_in(lambda _: True)

    def answer(self, count: int, first: int = 0) -> tuple[Candidate, int]:
        """So many items that have no answer, in a new candidate; each costs a dollar. Returns how many were left to answer."""
        candidate = self.folders.begin_candidate(first)
        header = msgspec.structs.replace(TABLE.header, first=first, count=SIZE)
        with opened(candidate.folder, header) as run:
            left = [index for index in range(first, first + SIZE) if not run.done[index - first]][:count]
            for index in left:
                run.journal.write(line_of(record(index, cost_usd=1.0)))
        for name in LOGS:
            (candidate.folder / name).write_bytes(candidate.folder.as_posix().encode())
        return candidate, len(left)

    def commit(self, candidate: Candidate) -> None:
        first, money = candidate.first, own_money(candidate.folder)
        committed = Committed(first=first, end=first + SIZE, money=money, counted=msgspec.Raw(b"{}"))
        self.folders.commit(candidate, committed)


def test_every_dollar_of_lost_late_and_double_machines_is_counted_once(tmp_path: Path) -> None:
    store = ObjectStore(stores.MemoryStore(), told="memory")
    lost, double = Machine(tmp_path / "lost", store), Machine(tmp_path / "double", store)
    lost.answer(2)
    lost.stored.put_open()
    after = Machine(tmp_path / "after", store)
    assert own_money(after.folders.candidate(0, 0).folder).spent == 2 * DOLLAR  # its share of a cap knows of it
    after.answer(1)
    after.stored.put_open()
    winner, _ = after.answer(5)
    assert money_in(winner.folder).spent == 8 * DOLLAR  # the answers of the lost one were taken over
    after.commit(winner)
    double.commit(double.answer(SIZE)[0])
    for each in (after, double):
        each.stored.put()
    merging = StoredWhole(store, RangeFolders(tmp_path / "merged/shared"))
    merging.pull()
    (counts,) = merging._folders.chain(0, SIZE)
    assert counts.money.spent == 5 * DOLLAR
    assert merging.money_of_others().spent == (2 + 1 + 8) * DOLLAR
    zombie, _ = lost.answer(1)  # and was not lost after all
    lost.stored.put_open()
    assert merging.money_of_others().spent == (2 + 1 + 8 + 1) * DOLLAR
    lost.commit(zombie)
    lost.stored.put()
    assert merging.money_of_others().spent == (2 + 1 + 8 + 1) * DOLLAR
    assert store.get("shared/done/0") == after.folders.done(0).joinpath("stored-as").read_bytes()
    assert lost.folders.committed(0) == counts  # who has lost knows what counts


class Meeting(RuleBasedStateMachine):
    """Machines that answer the same ranges, are cut off from the store in the middle of a put, are lost, and come late."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.store = Failing(stores.MemoryStore(), at=0, after=False)
        self.machines: dict[int, Machine] = {}
        self.bill = 0
        self.committed: dict[str, bytes | None] = {}
        self.folders = 0

    def teardown(self) -> None:
        """When all have put what they have, every dollar is told."""
        self.store.at = 0
        for machine in self.machines.values():
            machine.stored.put_all()
        merging = StoredWhole(self.store, RangeFolders(self.place / "merged/shared"))
        merging.pull()
        counts = [each for start in range(0, COUNT, SIZE) for each in merging._folders.chain(start, start + SIZE)]
        told = merging.money_of_others().spent + sum(each.money.spent for each in counts)
        shutil.rmtree(self.place)
        assert told == self.bill * DOLLAR

    def machine(self, who: int) -> Machine:
        if who not in self.machines:
            self.folders += 1
            self.store.at = 0
            self.machines[who] = Machine(self.place / str(self.folders), self.store)
        return self.machines[who]

    @rule(who=WHO, first=FIRST, count=st.integers(1, SIZE))
    def answers(self, who: int, first: int, count: int) -> None:
        machine = self.machine(who)
        if machine.folders.committed(first) is None:
            self.bill += machine.answer(count, first)[1]

    @rule(who=WHO, first=FIRST)
    def ends(self, who: int, first: int) -> None:
        machine = self.machine(who)
        if machine.folders.committed(first) is None:
            candidate, asked = machine.answer(SIZE, first)
            self.bill += asked
            machine.commit(candidate)

    @rule(who=WHO, puts=st.integers(1, 12), after=st.booleans())
    def is_cut_off(self, who: int, puts: int, after: bool) -> None:
        stored = self.machine(who).stored
        self.store.at, self.store.after = self.store.puts + puts, after
        with suppress(Killed):
            stored.put_all()
        self.store.at = 0

    @rule(who=WHO)
    def begins_again(self, who: int) -> None:
        self.machines[who] = Machine(self.machine(who).folders.root.parent.parent, self.store)

    @rule(who=WHO)
    def puts_and_is_lost(self, who: int) -> None:
        if (machine := self.machines.pop(who, None)) is not None:
            machine.stored.put_all()
            shutil.rmtree(machine.folders.root)

    @invariant()
    def what_is_committed_is_there_as_a_whole_and_stays(self) -> None:
        done = {number: self.store.get(f"shared/done/{number}") for number in self.store.names("shared/done")}
        assert self.committed.items() <= done.items()
        for name in done.values():
            assert name is not None
            parts = [self.store.get(f"shared/attempts/{name.decode()}/{part}") for part in (*LOGS, "committed.json")]
            assert None not in parts
            assert len(set(parts[:-1])) == 1  # of one candidate, never mixed
        self.committed = done


Meeting.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
TestMeeting = Meeting.TestCase
