"""A run that was stopped, killed or half made is gone on with, and nothing else is."""

from __future__ import annotations

import argparse
import signal
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest

from grader.cli.main import main, stop
from grader.cli.run_actions import DECIDED, resumed_plan
from grader.leakage_modeling.grading.folder import RunFolder, RunFolderError
from grader.leakage_modeling.grading.runs import Plan
from profiler.core.errors import ProfilerError
from profiler.storage.folder_lock import locked
from task_kit.leakage_modeling.worlds.settings import override
from tests.grader.leakage_modeling.grading.playing import QUICK, WORDS, played
from tests.nurseries import borrowed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


silent = partial(Plan, variants=("silent",))  # agents whose episodes are cheap to grade


async def test_a_run_that_is_gone_on_with_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    plan = silent(mode="agent", settings=override(QUICK, num_runs=2), seed="s")
    whole = await played(tmp_path / "r", plan)
    files = {path: path.read_bytes() for path in (tmp_path / "r").rglob("*") if path.is_file()}
    folder = RunFolder(tmp_path / "r")
    folder.keep(msgspec.structs.replace(whole.results[1], status="error", reason="unfinished"))
    (tmp_path / "r" / "results.jsonl").unlink()
    asked: list[str] = []

    again = await played(tmp_path / "r", plan, resume=True, tell=lambda result: asked.append(result.episode))

    assert asked == ["0001-silent"]
    assert again == whole
    assert {path: path.read_bytes() for path in files} == files
    assert (tmp_path / "r" / "aside" / "0001-silent.1" / "transcript.jsonl").exists()


def test_a_run_that_was_killed_before_its_folder_was_written_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It had drawn no world yet, so the settings of the command line hold."""
    monkeypatch.setattr("grader.cli.run_actions.open_nursery", borrowed)
    monkeypatch.setattr("grader.cli.run_actions.Plan", silent)
    folder = tmp_path / "r"
    (folder / "episodes").mkdir(parents=True)
    (folder / ".run.json.new").write_text('{"task": "leak')

    words = ["--mode", "agent", "--scripted", "--difficulty", "0", "--runs", "1"]
    assert main(["run", "leakage_modeling", "--resume", str(folder), *words]) == 0

    assert RunFolder(folder).run().settings.difficulty == 0
    assert "asked 1, played 1, graded 1" in capsys.readouterr().out


async def test_an_episode_whose_folder_was_only_half_made_is_played(tmp_path: Path) -> None:
    plan = silent(mode="agent", settings=QUICK, seed="s")
    await played(tmp_path / "r", plan)
    (RunFolder(tmp_path / "r").episode("0000-silent") / "result.json").unlink()

    [result] = (await played(tmp_path / "r", plan, resume=True)).results

    assert (result.status, result.reason) == ("fail", "no_submission")


async def test_two_do_not_go_on_with_one_run(tmp_path: Path) -> None:
    plan = silent(mode="agent", settings=QUICK, seed="s")
    await played(tmp_path / "r", plan)

    with locked(tmp_path / "r"), pytest.raises(ProfilerError, match="another run is writing here"):
        await played(tmp_path / "r", plan, resume=True)


async def test_a_part_of_the_policies_is_gone_on_with_as_that_part(tmp_path: Path) -> None:
    plan = Plan(mode="local", settings=QUICK, seed="s", only=frozenset(["no_op"]))
    await played(tmp_path / "r", plan)

    with pytest.raises(RunFolderError, match="only: "):
        await played(tmp_path / "r", replace(plan, only=None), resume=True)
    asked = resumed_plan(argparse.Namespace(resume=tmp_path / "r", max_cost=None, **dict.fromkeys(DECIDED)))

    assert asked == plan


async def test_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    plan = silent(mode="agent", settings=QUICK, seed="s")
    await played(tmp_path / "r", plan)

    with pytest.raises(RunFolderError, match="sealed_seed: 's', now 't'"):
        await played(tmp_path / "r", replace(plan, seed="t"), resume=True)


@pytest.mark.parametrize(("number", "handler"), [(signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, stop)])
def test_an_interrupted_run_says_how_to_go_on(
    number: signal.Signals,
    handler: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: object) -> None:
        signal.raise_signal(number)

    before = signal.signal(number, handler)  # it may be ignored in the background of a script
    monkeypatch.setattr("grader.cli.run_actions.open_nursery", borrowed)
    monkeypatch.setattr("grader.cli.run_actions.Plan", silent)
    monkeypatch.setattr("grader.cli.run_actions.keep_quiet", interrupt)
    folder, words = tmp_path / "r", ["run", "leakage_modeling", *WORDS, "--runs", "2"]

    try:
        assert main([*words, "--output", str(folder)]) == 128 + number
    finally:
        signal.signal(number, before)
    assert f"Go on with: grader run leakage_modeling --resume {folder}" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr("grader.cli.run_actions.open_nursery", borrowed)
    assert main(["run", "leakage_modeling", "--resume", str(folder)]) == 0
    assert "asked 2, played 2, graded 2" in capsys.readouterr().out
