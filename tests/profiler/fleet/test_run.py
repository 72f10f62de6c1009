"""A run by several processes ends with the bytes of a run by one."""

from __future__ import annotations

import errno
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from profiler.core.errors import (
    DatasetError,
    Interrupted,
    ProfilerError,
    StorageError,
    UsageError,
)
from profiler.dataset import slices
from profiler.dataset.slices import put_together
from profiler.engine.session import answer_all
from profiler.fleet.coordination.coordinator import WorkerFailed
from profiler.fleet.coordination.crew import A_CORE, EARLY_A_CORE, bounded, cores
from profiler.fleet.drivers.process_driver import processes
from profiler.fleet.messages import Done, Grant, Job, Report, Status, Want, WasCut
from profiler.fleet.preparing import prepare
from profiler.fleet.workers import range_candidate
from profiler.fleet.workers.range_candidate import RangeCandidate
from profiler.manifest.metrics import MetricEntry
from profiler.manifest.settings import MockSettings
from profiler.results.listing import rows
from profiler.storage.reading import saved_run
from profiler.storage.reading.saved_run import SavedRun
from tests.profiler.fleet.inline import InlineDriver, arranged
from tests.profiler.fleet.sites import COMPLETE, by_one, by_several, dataset, experiment, results, stopping

SENT: dict[str, Any] = {
    "tools": ({"name": "look_up", "input_schema": {"type": "object", "required": []}},),
    "output_format": {"type": "json_schema", "schema": {"type": "object"}},
    "request": {"service_tier": "auto"},
    "metrics": (MetricEntry(json_schema="sent"),),
}


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)


@pytest.mark.parametrize(
    ("kind", "workers", "settings", "how"),
    [
        ("jsonl", 2, {}, {}),
        ("jsonl", 7, {"metrics": ("fact_coverage", "refusal_rate")}, {"limit": 71}),
        ("json", 3, {"repeats": 3, "pass_at": (1, 2)}, {}),
        ("csv", 2, {"output_fields": ("dialogue_id", "type", "completion")}, {}),
        ("jsonl", 3, {"concurrency": 1, "repeats": 2}, {"sample": 20, "seed": 3}),
        ("jsonl", 2, {}, {"tags": ("t1",)}),
        ("jsonl", 2, SENT, {}),
    ],
)
async def test_the_bytes_are_those_of_one_process(
    tmp_path: Path, kind: str, workers: int, settings: dict[str, Any], how: dict[str, Any]
) -> None:
    asked = experiment(dataset(tmp_path, 90, kind), **settings)
    whole = await by_one(asked, tmp_path / "one", **how)
    done = await by_several(asked, tmp_path / "several", processes=workers, **how)
    assert results(done.folder) == whole
    assert {path.name for path in done.folder.iterdir()} == COMPLETE
    assert done.answered_now == done.summary["counts"]["total"]


async def test_processes_of_their_own_give_these_bytes_too(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, 90))
    whole = await by_one(asked, tmp_path / "one")
    done = await by_several(asked, tmp_path / "several", processes=2, on=processes)
    assert results(done.folder) == whole
    assert {path.name for path in done.folder.iterdir()} == COMPLETE


async def test_workers_survey_a_large_dataset_together_and_one_reader_names_its_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[Any] = []

    def noted(*given: Any) -> Any:
        together.append(put_together(*given))
        return together[-1]

    monkeypatch.setattr(slices, "WORTH_SLICING", 1)
    monkeypatch.setattr(slices, "put_together", noted)
    path = dataset(tmp_path, 2_000)
    asked = experiment(path)
    whole = await by_one(asked, tmp_path / "one")
    done = await by_several(asked, tmp_path / "several", processes=2, on=processes)
    assert results(done.folder) == whole
    assert together[0].survey.count == 2_000
    assert {each.name for each in done.folder.iterdir()} == COMPLETE

    path.write_text(path.read_text() + '{"dialogue_id": "d7", "user": "again"}\n')
    with pytest.raises(DatasetError, match="'d7' at line 2001 was already used at line 8"):
        await by_several(asked, tmp_path / "twice", processes=2, on=processes)
    assert together[1] is None


async def test_no_more_workers_start_than_there_is_work_for(tmp_path: Path) -> None:
    drivers: list[InlineDriver] = []
    await by_several(
        experiment(dataset(tmp_path, 30)), tmp_path / "several", processes=999, on=arranged(drivers.append)
    )
    assert len(drivers[0].started) <= max(30, EARLY_A_CORE * cores())


def test_more_processes_than_a_machine_can_use_are_told_and_not_started() -> None:
    told: list[str] = []
    most = bounded(1_000_000, tell=told.append)
    assert most == A_CORE * cores()
    assert [line.split(" are more than")[0] for line in told] == ["1,000,000 processes"]
    assert bounded(most, tell=told.append) == most
    assert len(told) == 1


async def test_a_stop_keeps_what_is_answered_and_any_number_goes_on(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, 200), mock=MockSettings(latency_s=0.002), concurrency=4)
    whole = await by_one(asked, tmp_path / "one")
    kept, stops = 0, 0
    for workers in (3, 1, 2, 4):
        try:
            done = await by_several(asked, tmp_path / "several", processes=workers, watch=stopping(after=20))
        except Interrupted:
            stops += 1
            run = SavedRun(tmp_path / "several" / "shared")
            found = run.summary
            assert kept < found["run"]["kept"] == found["counts"]["total"] == len(list(run.items())) <= 200
            assert (found["run"]["state"], found["run"]["dialogues"]) == ("unfinished", 200)
            (row,) = rows(tmp_path / "several")
            assert (row.state, row.kept, row.dialogues) == ("unfinished", found["run"]["kept"], 200)
            kept = found["run"]["kept"]
        else:  # all was answered before the panel looked again
            kept = 200
    assert stops >= 2
    done = await by_several(asked, tmp_path / "several", processes=1)
    assert results(done.folder) == whole
    assert done.kept == kept


async def test_who_sums_up_a_run_counts_what_was_there_when_it_has_gone_on_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is counted, other candidates take the places of those that were looked at."""
    asked = experiment(dataset(tmp_path, 200), mock=MockSettings(latency_s=0.002), concurrency=4)
    with pytest.raises(Interrupted):
        await by_several(asked, tmp_path / "several", processes=1, watch=stopping(after=20))
    run, moved = SavedRun(tmp_path / "several" / "shared"), 0
    kept = run.summary["counts"]["total"]

    def go_on(*given: Any, **named: Any) -> Any:
        nonlocal moved
        for begun in (run.folder / "fleet" / "attempts").iterdir():
            moved += 1
            begun.rename(f"{begun}{moved}")
        return reduce(*given, **named)

    reduce = saved_run._reduced
    monkeypatch.setattr(saved_run, "_reduced", go_on)
    assert run.summary["counts"]["total"] == kept > 0
    assert moved


async def test_the_rest_of_a_range_goes_to_whoever_has_nothing_to_do(tmp_path: Path) -> None:
    """One worker takes half a second a call. The ranges are large, and the quick one takes most of both."""
    asked = experiment(dataset(tmp_path, 80), concurrency=2, repeats=2)
    whole = await by_one(asked, tmp_path / "one")
    done: dict[int, int] = {0: 0, 1: 0}
    cuts: list[WasCut] = []

    def slow(job: Job) -> Job:
        mock = MockSettings(latency_s=0.5, faults=asked.mock.faults)
        return msgspec.structs.replace(job, experiment=msgspec.structs.replace(job.experiment, mock=mock))

    def heard(worker: int, report: Report) -> None:
        if isinstance(report, Done):
            done[worker] += report.end - report.first
        elif isinstance(report, WasCut):
            cuts.append(report)

    def arrange(driver: InlineDriver) -> None:
        driver.change_job = lambda job: slow(job) if job.worker == 0 else job
        driver.on_report = heard

    several = await by_several(asked, tmp_path / "several", processes=2, on=arranged(arrange))
    same = (
        {name: found[name] for name in ("requests.jsonl", "scores.jsonl")} for found in (results(several.folder), whole)
    )
    assert next(same) == next(same)  # the mock notes in the others how long it took
    assert sum(done.values()) == 160
    assert done[0] < 40
    assert cuts
    assert all(cut.end % 2 == 0 for cut in cuts)  # a dialogue's repeats stay together


async def test_the_ranges_of_a_lost_worker_go_to_another(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, 200), mock=MockSettings(latency_s=0.002), concurrency=4)
    whole = await by_one(asked, tmp_path / "one")
    told: list[str] = []
    drivers: list[InlineDriver] = []

    def heard(worker: int, report: Report) -> None:
        if isinstance(report, Status) and worker == 1 and report.answered > 10:
            drivers[0].stop(1)

    def arrange(driver: InlineDriver) -> None:
        drivers.append(driver)
        driver.on_report = heard

    done = await by_several(asked, tmp_path / "several", processes=2, on=arranged(arrange), note=told.append)
    assert results(done.folder) == whole


async def test_workers_that_only_die_end_the_run_with_their_last_words(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, 30))

    def arrange(driver: InlineDriver) -> None:
        driver.on_report = lambda worker, report: driver.stop(worker) if isinstance(report, Want) else None

    with pytest.raises(WorkerFailed, match=r"was ended by SIGKILL, as others did before it.*\nits last words"):
        await by_several(asked, tmp_path / "several", processes=1, on=arranged(arrange))


async def test_an_error_is_told_although_the_log_of_its_worker_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk both fail, and the log lies there too."""
    full = Path("/dev/full").open("w", buffering=1)  # noqa: ASYNC230, SIM115 (closing it fails)

    def fails(candidate: RangeCandidate, _: Any) -> None:
        raise StorageError(Path(candidate.name), OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(RangeCandidate, "_open", fails)
    monkeypatch.setattr(sys, "stderr", full)
    with pytest.raises(ProfilerError, match="cannot write: No space left on device"):
        await by_several(experiment(dataset(tmp_path, 20)), tmp_path / "several", processes=2)
    with suppress(OSError):
        full.close()


async def test_a_metric_whose_states_cannot_travel_is_refused_before_anything_begins(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from profiler.metrics.metric import Estimate, Metric\n"
        "kept = Metric(name='kept', contribute=lambda _: {1}, merge=lambda a, b: a | b, finish=lambda s: Estimate(1.0, 1))\n"
    )
    asked = experiment(dataset(tmp_path, 9), metrics=("own:kept",))
    with pytest.raises(UsageError, match="metric 'kept' keeps a set"):
        await by_several(asked, tmp_path / "several", processes=2, search_path=tmp_path)
    assert list((tmp_path / "several" / "shared").iterdir()) == []


async def test_what_cannot_be_sent_is_refused_before_anything_begins(tmp_path: Path) -> None:
    asked = experiment(dataset(tmp_path, 20), tool_choice={"type": "any"})
    with pytest.raises(DatasetError, match="brings no tools, which the tool_choice of the manifest needs"):
        await by_several(asked, tmp_path / "several", processes=2)


async def test_a_candidate_whose_folder_went_because_another_had_won_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was taken for dead may win. Its answers are put together, and the folder of the one that lives is removed."""
    asked = experiment(dataset(tmp_path, 90, "jsonl"))
    whole = await by_one(asked, tmp_path / "one")
    overtaken: list[int] = []

    async def overtaken_once(*given: Any, read: Any, **more: Any) -> Any:
        own = read.__self__
        if not overtaken:
            overtaken.append(own.first)
            twin = RangeCandidate(Grant(own.first, own.end), name=own.name, setting=own._setting)
            await twin.run()
            assert twin.won
            shutil.rmtree(own._setting.folders.candidate(own.first, 0).folder)
        return await answer_all(*given, read=read, **more)

    monkeypatch.setattr(range_candidate, "answer_all", overtaken_once)
    several = await by_several(asked, tmp_path / "several", processes=2)

    assert overtaken
    assert results(several.folder) == whole
