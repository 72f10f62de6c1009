from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from task_kit.cli import main
from task_kit.stage import MANIFEST
from task_kit.task import TASKS

if TYPE_CHECKING:
    from pathlib import Path


def test_list_names_every_task_and_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(TASKS)
    assert TASKS["experiment_profiler"].says in lines[0]


def test_list_is_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0

    assert [task["name"] for task in json.loads(capsys.readouterr().out)["tasks"]] == list(TASKS)


def test_show_prints_the_prompt_and_every_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "experiment_profiler"]) == 0

    task, printed = TASKS["experiment_profiler"], capsys.readouterr().out
    assert task.prompt() in printed
    assert [path for path in task.contents() if path not in printed] == []


def test_show_and_stage_tell_programs_the_same_hashes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["show", "experiment_profiler", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert main(["stage", "experiment_profiler", str(tmp_path / "new"), "--json"]) == 0
    laid_out = json.loads(capsys.readouterr().out)

    assert shown["files"] == laid_out["files"] == json.loads((tmp_path / "new" / MANIFEST).read_bytes())
    assert shown["prompt"] == (tmp_path / "new" / "prompt.md").read_text(encoding="utf-8")
    assert laid_out["others"] == []


def test_what_stage_leaves_alone_is_said_beside_the_result(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    assert main(["stage", "experiment_profiler", str(tmp_path), "--force"]) == 0

    assert "mine.txt" in capsys.readouterr().err


def test_an_unknown_task_is_a_message_with_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "experiment_profile"]) == 2

    said = capsys.readouterr()
    assert said.out == ""
    assert "'experiment_profile'" in said.err
    assert "did you mean 'experiment_profiler'?" in said.err


def test_a_task_like_no_other_gets_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "xyz"]) == 2

    assert "there are: experiment_profiler" in capsys.readouterr().err


def test_an_occupied_folder_is_a_message(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    assert main(["stage", "experiment_profiler", str(tmp_path)]) == 2

    assert "error: " in capsys.readouterr().err


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_traceback() -> None:
    command = [sys.executable, "-m", "task_kit", "show", "experiment_profiler"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()

    assert said == b""
    assert process.returncode == 141
