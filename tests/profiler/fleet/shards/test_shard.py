"""Shards that know nothing of each other answer one run, and merge gives it the bytes of a run by one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from profiler.core.errors import Interrupted, RunDirectoryError
from profiler.engine.options import Options
from profiler.engine.runner import run
from profiler.fleet.preparing import prepare
from profiler.fleet.shards.merge import merge
from profiler.fleet.shards.shard import ShardEnded, run_shard
from profiler.fleet.shards.which_shard import Shard
from profiler.manifest.settings import Experiment, MockSettings
from profiler.storage.folder_lock import locked
from profiler.storage.reading.saved_run import SavedRun
from profiler.storage.run_directory import RunDirectory
from profiler.storage.shared_runs.claims import Claims
from profiler.storage.shared_runs.ranges import RangeFolders
from tests.profiler.fleet.inline import inline
from tests.profiler.fleet.sites import COMPLETE, by_one, by_several, dataset, experiment, results, stopping


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)


def options_of(folder: Path, **how: Any) -> Options:
    return Options(output_dir=folder, mode="mock", fsync="off", **how)


async def answered(asked: Experiment, folder: Path, number: int, of: int, **how: Any) -> ShardEnded:
    with anyio.fail_after(60):
        return await run_shard(asked, shard=Shard(number, of), options=options_of(folder, **how), note=print, on=inline)


@pytest.mark.parametrize(
    ("kind", "settings", "how"),
    [
        ("jsonl", {}, {}),
        ("json", {"repeats": 2}, {"ids": tuple(f"d{n}" for n in range(50))}),
        ("csv", {}, {"sample": 40}),
    ],
)
async def test_shards_in_any_order_and_at_once_give_the_bytes_of_one_process(
    tmp_path: Path, kind: str, settings: dict[str, Any], how: dict[str, Any]
) -> None:
    asked = experiment(dataset(tmp_path, 90, kind), **settings)
    whole = await by_one(asked, tmp_path / "one", **how)
    runs, ended = tmp_path / "runs", []

    async def answer(number: int) -> None:
        ended.append(await answered(asked, runs, number, 3, **how))

    await answer(2)
    async with anyio.create_task_group() as at_once:
        at_once.start_soon(answer, 0)
        at_once.start_soon(answer, 1)
    assert sum(each.answered_now for each in ended) == SavedRun(runs / "shared").summary["run"]["kept"]
    done = merge(asked, options=Options(output_dir=runs, fsync="off"), note=print)
    assert results(done.folder) == whole
    assert {path.name for path in done.folder.iterdir()} == COMPLETE


async def test_a_shard_goes_on_where_it_was_and_merge_says_what_is_missing(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, 200), mock=MockSettings(latency_s=0.002), concurrency=4)
    whole = await by_one(asked, tmp_path / "one")
    runs = tmp_path / "runs"
    options = Options(output_dir=runs, mode="mock", fsync="off")
    with pytest.raises(Interrupted):
        await run_shard(asked, shard=Shard(0, 2), options=options, note=print, watch=stopping(after=20), on=inline)
    await answered(asked, runs, 1, 2)
    with pytest.raises(
        RunDirectoryError,
        match=r"of 200 items are not answered yet: numbers [\d,]+ to [\d,]+.*owed by shard 0 of 2\. \d+ answers are kept$",
    ) as caught:
        merge(asked, options=options, note=print)
    assert caught.value.hint == "run the command with --shard 0/2 once more; it goes on where it was"
    again = await answered(asked, runs, 0, 2)
    assert again.kept >= 20
    assert again.answered_now + again.kept == 104  # 13 ranges of 12, of which every second one is its own
    assert results(merge(asked, options=options, note=print).folder) == whole


async def test_a_shard_touches_no_run_of_another_kind_and_none_that_asks_something_else(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, 30), mock=MockSettings(latency_s=0.002), concurrency=1)
    await by_one(asked, tmp_path / "one")
    with pytest.raises(RunDirectoryError, match="max_tokens: the run has 64, now it is 65"):
        await answered(msgspec.structs.replace(asked, max_tokens=65), tmp_path / "one", 0, 2)
    with pytest.raises(Interrupted):
        await run(asked, options=options_of(tmp_path / "half"), watch=stopping(after=5))
    with pytest.raises(RunDirectoryError, match="one process has begun, and shards cannot take it up"):
        await answered(asked, tmp_path / "half", 0, 2)
    with pytest.raises(RunDirectoryError, match="found no run that shards share"):
        merge(asked, options=Options(output_dir=tmp_path / "none"), note=print)
    await answered(asked, tmp_path / "runs", 0, 2)
    with pytest.raises(RunDirectoryError, match="limit: the run has none, now it is 7"):
        await answered(asked, tmp_path / "runs", 1, 2, limit=7)


async def test_merging_again_tells_the_complete_run_and_takes_away_what_a_killed_merge_left(tmp_path: Path) -> None:
    asked, options = experiment(dataset(tmp_path, 30)), Options(output_dir=tmp_path / "runs", fsync="off")
    await answered(asked, tmp_path / "runs", 0, 1)
    table = (tmp_path / "runs/shared/fleet/table.json").read_bytes()
    whole = results(merge(asked, options=options, note=print).folder)
    for left in (False, True):
        if left:
            (tmp_path / "runs/shared/fleet").mkdir()
            (tmp_path / "runs/shared/fleet/table.json").write_bytes(table)
        again = merge(asked, options=options, note=print)
        assert (again.kept, again.answered_now) == (30, 0)
        assert results(again.folder) == whole
        assert {path.name for path in again.folder.iterdir()} == COMPLETE
    with pytest.raises(RunDirectoryError, match="max_tokens: the run has 64, now it is 65"):
        merge(msgspec.structs.replace(asked, max_tokens=65), options=options, note=print)


async def test_a_shard_that_is_started_once_more_after_all_is_done_has_nothing_to_do(tmp_path: Path) -> None:
    asked, runs = experiment(dataset(tmp_path, 40)), tmp_path / "runs"
    for number in (0, 1):
        await answered(asked, runs, number, 2)
    before = await answered(asked, runs, 1, 2)
    assert (before.was_complete, before.kept) == (True, 20)
    whole = results(merge(asked, options=options_of(runs), note=print).folder)
    for _ in range(2):
        again = await answered(asked, runs, 0, 2)
        assert (again.was_complete, again.kept) == (True, 40)
        assert results(again.folder) == whole
        assert {path.name for path in again.folder.iterdir()} == COMPLETE
    with pytest.raises(RunDirectoryError, match="limit: the run has none, now it is 7"):
        await answered(asked, runs, 0, 2, limit=7)


async def test_a_run_is_divided_into_shards_once(tmp_path: Path) -> None:
    asked, runs = experiment(dataset(tmp_path, 60)), tmp_path / "runs"
    await answered(asked, runs, 1, 3)
    with pytest.raises(RunDirectoryError, match="begun as 3 shards, and --shard 1/4 would divide it into 4") as caught:
        await answered(asked, runs, 1, 4)
    assert caught.value.hint is not None
    assert "--shard K/3 for K from 0 to 2" in caught.value.hint
    done = await by_several(asked, runs, processes=2)  # the other way on that the hint tells
    assert results(done.folder) == await by_one(asked, tmp_path / "one")


@pytest.mark.parametrize("locks", ["locks", "leases"])
async def test_nobody_answers_what_another_command_has_in_its_hands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: str
) -> None:
    monkeypatch.setenv("PROFILER_LOCKS", locks)
    asked, runs = experiment(dataset(tmp_path, 40)), tmp_path / "runs"
    await answered(asked, runs, 1, 2)
    claims = Claims(runs / "shared")
    with claims.shard(0):
        with pytest.raises(RunDirectoryError, match="shard-0"):
            await answered(asked, runs, 0, 2)
        with pytest.raises(
            RunDirectoryError, match="owed by shard 0 of 2, of which shard 0 of 2 is being answered now"
        ):
            merge(asked, options=options_of(runs), note=print)
        with pytest.raises(RunDirectoryError, match="shards are being answered here"):
            await by_several(asked, runs, processes=2)
    await answered(asked, runs, 0, 2)
    with claims.shard(0), pytest.raises(RunDirectoryError, match="shards are being answered here"):
        merge(asked, options=options_of(runs), note=print)
    with claims.whole(), pytest.raises(RunDirectoryError, match="another command goes on with the whole run"):
        await answered(asked, runs, 0, 2)
    with locked(runs / "shared"), pytest.raises(RunDirectoryError, match="another run is writing here"):
        await answered(asked, runs, 0, 2)
    done = merge(asked, options=options_of(runs), note=print)
    assert results(done.folder) == await by_one(asked, tmp_path / "one")
    assert {path.name for path in done.folder.iterdir()} == COMPLETE


async def test_shards_go_on_with_a_run_of_several_processes_where_that_was(tmp_path: Path) -> None:
    """Also behind what is put together already, which nobody asks again."""
    asked = experiment(dataset(tmp_path, 240), mock=MockSettings(latency_s=0.002), concurrency=4)
    runs = tmp_path / "runs"
    with pytest.raises(Interrupted):
        await by_several(asked, runs, processes=2, watch=stopping(after=120))
    merged = RangeFolders(runs / "shared").merged()
    assert merged is not None
    assert merged.end > 0
    ended = [await answered(asked, runs, number, 3) for number in range(3)]
    assert sum(each.kept for each in ended) >= 120
    assert sum(each.answered_now + each.kept for each in ended) == 240
    done = merge(asked, options=options_of(runs), note=print)
    assert results(done.folder) == await by_one(asked, tmp_path / "one")


async def test_a_merge_that_is_killed_just_before_the_summary_is_ended_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, options = experiment(dataset(tmp_path, 40)), options_of(tmp_path / "runs")
    await answered(asked, tmp_path / "runs", 0, 1)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as power_cut:
        power_cut.setattr(RunDirectory, "write_summary", killed)
        with pytest.raises(KeyboardInterrupt):
            merge(asked, options=options, note=print)
    done = merge(asked, options=options, note=print)
    assert results(done.folder) == await by_one(asked, tmp_path / "one")
