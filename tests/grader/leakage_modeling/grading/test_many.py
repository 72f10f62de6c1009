"""Episodes that other processes play leave the files of a run by one, and what breaks them is an error of each alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import anyio
import pytest

from grader.cli.main import main
from grader.cli.run_actions import keep_quiet
from grader.leakage_modeling.grading import many
from grader.leakage_modeling.grading.folder import RunFolder
from grader.leakage_modeling.grading.many import play_many, played
from grader.leakage_modeling.grading.runs import Plan, play_all
from grader.workers.messages import Raised
from profiler.core.errors import UsageError
from profiler.fleet.drivers.driver import Lost
from task_kit.leakage_modeling.worlds.settings import Settings
from task_kit.sandbox import detect
from tests.grader.workers.scripted import Scripted, calls, hires
from tests.nurseries import shared_nursery

if TYPE_CHECKING:
    from pathlib import Path

    from grader.leakage_modeling.grading.runs import Report
    from grader.workers.messages import Assignment
    from grader.workers.messages import Report as Said

SETTINGS = Settings(difficulty=0, train_rows=300, hidden_rows=1000, num_runs=2, concurrency=2)
PLAN = Plan(mode="agent", settings=SETTINGS, seed="5eed", variants=("clumsy", "silent"))
WORDS = ("run", "leakage_modeling", "--mode", "agent", "--scripted")


def play(output: Path, workers: Scripted, *, plan: Plan = PLAN, resume: bool = False) -> Report:
    return play_many(
        plan, isolation="here", output=output, tell=keep_quiet, hire=hires(workers), processes=2, resume=resume
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """They play with the warm process that all tests share, beside the event loop that hands out."""
    monkeypatch.setattr(many, "_nursery", lambda _: shared_nursery())

    def beside(given: bytes) -> bytes:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(played, given).result()

    return Scripted(calls(beside), last_first=True)


async def by_one(output: Path) -> None:
    await play_all(PLAN, nursery=shared_nursery(), isolation="here", output=output, environ={}, tell=keep_quiet)


def test_the_files_are_those_of_one_process_also_when_it_is_gone_on_with(tmp_path: Path, workers: Scripted) -> None:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(anyio.run, by_one, tmp_path / "one").result()
    lost = Scripted(lambda _, it: [Raised(number=it.number, lines="")])

    report = play(tmp_path / "many", lost)
    assert {result.status for result in report.results} == {"error"}
    report = play(tmp_path / "many", workers, resume=True)

    assert [result.status for result in report.results] == ["pass", "fail"]
    found = files_of(tmp_path / "many")
    assert {name: text for name, text in found.items() if not name.startswith("aside/")} == files_of(tmp_path / "one")


def test_an_episode_that_kills_its_process_is_an_error_and_the_others_are_played(
    tmp_path: Path, workers: Scripted
) -> None:
    playing = workers._says

    def says(worker: int, assignment: Assignment) -> list[Said | Lost]:
        if b"clumsy" in assignment.given:
            return [Lost("was ended by SIGKILL", "its last words")]
        return list(playing(worker, assignment))

    report = play(tmp_path / "r", Scripted(says))

    assert [result.status for result in report.results] == ["error", "fail"]
    assert "its last words" in report.results[0].sentence
    assert RunFolder(tmp_path / "r").result(report.results[0].episode) == report.results[0]


def test_a_model_is_asked_by_one_process(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a model is asked here"):
        play(tmp_path / "r", Scripted(calls(bytes)), plan=Plan(mode="agent", settings=SETTINGS, live=True))

    assert not (tmp_path / "r").exists()


def test_on_says_not_how_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "--on", "ray", "--output", str(tmp_path / "r")]) == 2

    assert "add --jobs N" in capsys.readouterr().err


@pytest.mark.long
def test_processes_of_their_own_play_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "r"

    assert main([*WORDS, "--runs", "1", "--difficulty", "0", "--jobs", "2", "--output", str(folder)]) == 0

    assert "graded 1" in capsys.readouterr().out
    assert RunFolder(folder).run().isolation == detect().level.label
