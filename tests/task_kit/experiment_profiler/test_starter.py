from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from starter.experiment_profiler.runner import ExperimentRunner
from starter.experiment_profiler.simulation import ClientFactory
from tests.task_kit.staging import REFERENCE, SAMPLE, STARTER, python, staged

UNFINISHED = {"cli.py", "runner.py", "simulation.py"}
COMPLETE = {"__init__.py", "config.py", "storage.py"}
MARK = re.compile(r"\bTODO:")


@pytest.mark.parametrize(
    "arguments", [("run", "--config", SAMPLE, "--output-dir", "runs"), ("summarize", "--log-dir", "runs/demo_run")]
)
def test_it_says_in_a_sentence_what_is_left_and_where(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = python("-m", "experiment_profiler.cli", *arguments, cwd=staged(tmp_path))

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"not finished yet: cli.py, {arguments[0]}: ")
    assert ended.stderr.count("\n") == 1
    assert all(name in ended.stderr for name in UNFINISHED)


def test_it_has_its_help_already(tmp_path: Path) -> None:
    ended = python("-m", "experiment_profiler.cli", "run", "--help", cwd=staged(tmp_path))

    assert ended.returncode == 0
    assert "--config" in ended.stdout


def test_todos_stand_in_three_files_and_nowhere_else(tmp_path: Path) -> None:
    folder = staged(tmp_path)

    assert {path.name for path in folder.rglob("*.py") if MARK.search(path.read_text(encoding="utf-8"))} == UNFINISHED


def test_every_gap_has_its_todo_and_is_told_in_the_walk_through(tmp_path: Path) -> None:
    folder = staged(tmp_path)
    text = "".join(path.read_text(encoding="utf-8") for path in (folder / "experiment_profiler").glob("*.py"))

    assert len(MARK.findall(text)) == text.count("raise NotImplementedError") == 5
    assert "There are five gaps" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(COMPLETE))
def test_what_is_complete_is_the_same_in_the_reference(name: str) -> None:
    assert (STARTER / name).read_bytes() == (REFERENCE / name).read_bytes()


def test_both_hold_the_same_files() -> None:
    assert {path.name for path in STARTER.glob("*.py")} == UNFINISHED | COMPLETE
    assert {path.name for path in REFERENCE.glob("*.py")} == UNFINISHED | COMPLETE


def test_each_gap_names_its_file() -> None:
    factory = ClientFactory(Path("nowhere.json"))
    config: Any = None
    runner = ExperimentRunner(config=config, factory=factory)

    with pytest.raises(NotImplementedError, match=r"simulation\.py"):
        factory.build_live_or_simulated(model="m", max_tokens=1, temperature=0.0)
    with pytest.raises(NotImplementedError, match=r"runner\.py.*run"):
        runner.run("runs")
    with pytest.raises(NotImplementedError, match=r"runner\.py.*summarize"):
        runner.summarize("runs")
