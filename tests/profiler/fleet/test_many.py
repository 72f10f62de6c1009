"""The experiments of a manifest: which are shared among processes, by which, and that all leave what one process leaves."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from profiler.core.errors import BudgetReached, ProviderFailed
from profiler.engine.options import Options
from profiler.engine.run_money import RunMoney
from profiler.engine.runner import run_all
from profiler.fleet import many
from profiler.fleet.many import advise, run_all_by_processes
from profiler.fleet.preparing import prepare
from profiler.fleet.run import run_by_processes
from profiler.manifest.load import Manifest
from profiler.money.budget import Cap
from profiler.money.prices import pico
from tests.faults.mock_fleet_storm import workers_of
from tests.profiler.fleet.inline import inline
from tests.profiler.fleet.sites import dataset, experiment, results

ITEMS = 40


class Stopped(Exception):
    pass


def manifest(folder: Path, *settings: dict[str, Any]) -> Manifest:
    path = dataset(folder, ITEMS)
    asked = tuple(
        experiment(path, **{"experiment_id": f"e{number}", "system": f"No. {number}", **each})
        for number, each in enumerate(settings)
    )
    return Manifest(
        path=folder / "m.yaml", sha256="0" * 64, experiments=asked, ids=tuple(e.experiment_id for e in asked)
    )


async def by_one(asked: Manifest, folder: Path) -> dict[str, Any]:
    options = Options(output_dir=folder, mode="mock", fsync="off")
    return {each.experiment_id: results_of(each) for each in await run_all(asked, options=options)}


def results_of(ended: Any) -> dict[str, bytes] | None:
    return None if ended.result is None else results(ended.result.folder)


class Watched:
    """A run of all experiments by two processes, and which workers there were when each experiment began to be asked."""

    def __init__(self) -> None:
        self.workers: list[set[int]] = []
        self.told: list[str] = []
        self.kill_at = self.stop_at = 0
        self.error: Exception = Stopped()

    async def run(self, asked: Manifest, folder: Path) -> list[Any]:
        options = Options(output_dir=folder, mode="mock", fsync="off")
        return await run_all_by_processes(asked, options=options, processes=2, watch=self._look, note=self.told.append)

    async def _look(self, _: Any) -> None:
        workers = workers_of(os.getpid())
        self.workers.append(workers)
        if len(self.workers) == self.kill_at:
            os.kill(max(workers), signal.SIGKILL)
        if len(self.workers) == self.stop_at:
            raise self.error


@pytest.fixture
def _all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "LEAST_SHARED", 1)
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)


async def test_small_experiments_are_answered_by_one_process_all_together(tmp_path: Path) -> None:
    watched, asked = Watched(), manifest(tmp_path, {}, {}, {})
    found = await watched.run(asked, tmp_path / "several")
    assert {each.experiment_id: results_of(each) for each in found} == await by_one(asked, tmp_path / "one")
    assert watched.workers == [set()]


@pytest.mark.usefixtures("_all_are_large")
async def test_processes_go_from_one_experiment_to_the_next_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    watched, asked = Watched(), manifest(tmp_path, {}, {}, {})
    watched.kill_at = 2
    found = await watched.run(asked, tmp_path / "several")
    assert {each.experiment_id: results_of(each) for each in found} == await by_one(asked, tmp_path / "one")
    first, second, third = watched.workers
    assert len(first) == 2
    assert second == first
    assert second - third == {max(second)}
    assert workers_of(os.getpid()) == set()


@pytest.mark.usefixtures("_all_are_large")
async def test_others_answer_the_experiments_after_one_that_was_stopped(tmp_path: Path) -> None:
    watched, asked = Watched(), manifest(tmp_path, {}, {}, {})
    watched.stop_at = 2
    found = await watched.run(asked, tmp_path / "several")
    assert isinstance(found[1].error, Stopped)
    others = msgspec.structs.replace(asked, experiments=(asked.experiments[0], asked.experiments[2]))
    whole = await by_one(others, tmp_path / "one")
    assert {each.experiment_id: results_of(each) for each in (found[0], found[2])} == whole
    assert not watched.workers[1] & watched.workers[2]
    assert not any("takes its place" in line for line in watched.told)


@pytest.mark.usefixtures("_all_are_large")
@pytest.mark.parametrize(
    ("error", "own_cap", "complete"),
    [
        (ProviderFailed("it is down"), None, [False, True, False]),
        (BudgetReached("its own"), 0.5, [False, True, True]),
        (BudgetReached("that of all"), None, [False, False, False]),
    ],
)
async def test_what_stops_one_experiment_stops_those_that_it_would_stop_too(
    tmp_path: Path, error: Exception, own_cap: float | None, complete: list[bool]
) -> None:
    watched = Watched()
    watched.stop_at, watched.error = 1, error
    asked = manifest(tmp_path, {"max_cost_usd": own_cap}, {"model": "claude-sonnet-4-5"}, {})
    found = await watched.run(asked, tmp_path / "several")
    assert [each.result is not None for each in found] == complete
    assert [each.begun for each in found] == [True, *complete[1:]]


def test_a_cap_that_is_enough_for_all_counts_what_others_have_spent() -> None:
    cap, path = Cap(1.0, gone=pico(0.9)), Path("dialogues.jsonl")
    money, reached = RunMoney(Options(max_cost_usd=1.0), cap=cap), BudgetReached("what is left")
    reached.enough_usd = 0.75
    advise(reached, experiment(path, max_cost_usd=0.7), money, room=pico(0.5), in_all=pico(0.4))
    assert (reached.enough_usd, reached.of_all, reached.hint) == (1.3, True, None)


def test_a_cap_of_the_experiment_is_raised_in_the_manifest() -> None:
    money, reached = RunMoney(Options(max_cost_usd=1.0), cap=Cap(1.0, gone=0)), BudgetReached("its own")
    reached.enough_usd = 0.75
    advise(reached, experiment(Path("d.jsonl"), max_cost_usd=0.5), money, room=pico(1.0), in_all=pico(0.5))
    assert (reached.enough_usd, reached.of_all) == (0.75, False)
    assert reached.hint == "raise max_cost_usd of shared in the manifest, to 0.75 or so"


async def test_a_small_experiment_that_several_have_begun_stays_theirs(tmp_path: Path) -> None:
    async def stop(_: Any) -> None:
        raise Stopped

    watched, asked = Watched(), manifest(tmp_path, {}, {})
    options = Options(output_dir=tmp_path / "several", mode="mock", fsync="off")
    with pytest.raises(Stopped):
        await run_by_processes(asked.experiments[0], options=options, processes=2, watch=stop, on=inline)
    found = await watched.run(asked, tmp_path / "several")
    assert {each.experiment_id: results_of(each) for each in found} == await by_one(asked, tmp_path / "one")
    assert [len(workers) for workers in watched.workers] == [0, 2]
