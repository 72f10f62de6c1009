"""Answers of earlier runs are taken over by several processes and by shards as they are by one process."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from profiler.core.errors import Interrupted, ProfilerError
from profiler.engine.options import Options
from profiler.engine.reuse import reusing
from profiler.fleet.messages import Done
from profiler.fleet.preparing import prepare
from profiler.fleet.run import run_by_processes
from profiler.fleet.shards.merge import merge
from profiler.fleet.shards.shard import run_shard
from profiler.fleet.shards.which_shard import Shard
from profiler.manifest.settings import Experiment, MockSettings
from profiler.storage.reading.unfinished_fleet import UnfinishedFleet
from profiler.storage.shared_runs.range_table import read_table
from tests.profiler.fleet.inline import InlineDriver, arranged, inline
from tests.profiler.fleet.sites import by_one, by_several, dataset, experiment, results, stopping

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.engine.result import Result

COUNT = 90
CONVERSATIONS = {"mock": MockSettings(faults={"server_error": 0.05}), "repeats": 2}


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)


def taking(folder: Path, *runs: Path, **how: Any) -> Options:
    return Options(**{"output_dir": folder, "mode": "mock", "fsync": "off", "reuse": runs, **how})


async def taken_by_several(
    asked: Experiment, options: Options, *, on: Any = inline, processes: int = 3, told: list[str] | None = None
) -> Result:
    tell = list[str]().append if told is None else told.append
    with reusing([asked], options=options, tell=tell) as reusable:
        return await run_by_processes(asked, options=options, processes=processes, reusable=reusable, on=on, note=tell)


@pytest.mark.parametrize("settings", [{}, CONVERSATIONS], ids=["once", "repeats"])
async def test_the_bytes_are_those_of_one_process(tmp_path: Path, settings: dict[str, Any]) -> None:
    asked = experiment(dataset(tmp_path, COUNT), **settings)
    await by_one(asked, tmp_path / "pilot", sample=30, seed=1)
    pilot = tmp_path / "pilot" / "shared"
    whole = await by_one(asked, tmp_path / "one", reuse=(pilot,))
    assert whole["responses.jsonl"].count(b"reused_from") >= 25

    told: list[str] = []
    done = await taken_by_several(asked, taking(tmp_path / "several", pilot), told=told)

    assert results(done.folder) == whole
    taken = done.summary["reused"]["n"]
    assert done.kept == taken
    total = done.summary["counts"]["total"]
    assert (
        f"shared: {taken} of {total} answers are taken over from earlier runs; nothing is paid for them again" in told
    )
    assert not list(done.folder.glob("**/*sqlite*"))


async def test_an_answer_of_a_lost_worker_is_taken_over_once(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, COUNT))
    await by_one(asked, tmp_path / "pilot", sample=60, seed=1)
    pilot = tmp_path / "pilot" / "shared"
    whole = await by_one(asked, tmp_path / "one", reuse=(pilot,))

    def arrange(driver: InlineDriver) -> None:
        def kill_first(worker: int, report: object) -> None:
            if isinstance(report, Done) and worker == 0:
                driver.stop(worker)

        driver.on_report = kill_first

    done = await taken_by_several(asked, taking(tmp_path / "several", pilot), on=arranged(arrange), processes=2)
    assert results(done.folder) == whole


async def test_shards_take_over_what_each_of_them_asks(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, COUNT))
    await by_one(asked, tmp_path / "pilot", sample=30, seed=1)
    pilot = tmp_path / "pilot" / "shared"
    whole = await by_one(asked, tmp_path / "one", reuse=(pilot,))

    options = taking(tmp_path / "shards", pilot)
    for number in (1, 0):
        with reusing([asked], options=options, tell=list[str]().append) as reusable:
            await run_shard(
                asked, shard=Shard(number, 2), options=options, reusable=reusable, note=list[str]().append, on=inline
            )
    done = merge(asked, options=options, note=list[str]().append)
    assert results(done.folder) == whole


async def test_what_several_processes_had_answered_before_they_were_stopped_is_taken_over(tmp_path: Path) -> None:
    """Of such a run some ranges are put together, some are committed, and of some a candidate has a journal."""
    asked = experiment(dataset(tmp_path, COUNT), mock=MockSettings(latency_s=0.002), concurrency=4)
    with pytest.raises(Interrupted):
        await by_several(asked, tmp_path / "runs", processes=2, watch=stopping(after=40))
    begun = tmp_path / "runs" / "shared"
    table = read_table(begun)
    assert table is not None
    answered = UnfinishedFleet(begun, table).kept
    assert answered >= 40

    told: list[str] = []
    done = await taken_by_several(asked, taking(tmp_path / "runs", begun, fresh=True), told=told)
    reused = [json.loads(line) for line in (done.folder / "responses.jsonl").read_bytes().splitlines()]
    assert (
        sum("reused_from" in each for each in reused) == done.summary["reused"]["n"] >= answered - 10
    )  # errors are none


async def test_a_run_that_goes_on_keeps_what_it_has_and_takes_nothing_over_from_itself(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, COUNT), mock=MockSettings(latency_s=0.002), concurrency=4)
    whole = await by_one(asked, tmp_path / "one")
    with pytest.raises(Interrupted):
        await by_several(asked, tmp_path / "runs", processes=2, watch=stopping(after=20))
    done = await taken_by_several(asked, taking(tmp_path / "runs", tmp_path / "runs"))
    assert results(done.folder) == whole


async def test_who_was_answered_by_another_source_is_told_and_takes_nothing(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, COUNT))
    await by_one(asked, tmp_path / "pilot")
    other = msgspec.structs.replace(asked, mock=MockSettings(faults={"server_error": 0.5}))
    told: list[str] = []
    done = await taken_by_several(other, taking(tmp_path / "several", tmp_path / "pilot" / "shared"), told=told)
    assert any("--reuse: none of these runs was answered by" in line for line in told)
    assert "reused" not in done.summary


async def test_a_run_that_vanishes_meanwhile_is_an_error_that_names_it(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, COUNT))
    await by_one(asked, tmp_path / "pilot")
    pilot = tmp_path / "pilot" / "shared"

    def arrange(_: InlineDriver) -> None:
        shutil.rmtree(pilot)

    with pytest.raises(ProfilerError, match="is gone, while its answers were taken over"):
        await taken_by_several(asked, taking(tmp_path / "several", pilot), on=arranged(arrange), processes=1)
