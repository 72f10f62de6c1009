"""`grader calibrate`: real episodes of scripted agents and policies, in real boxes, and what is made of them."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from grader.cli.main import main
from task_kit.leakage_modeling.worlds.settings import load_settings
from tests.nurseries import borrowed
from tests.once import made_once

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ("calibrate", "leakage_modeling", "--seed", "s", "--concurrency", "6", "--difficulty", "0")


@pytest.fixture(scope="session")
def made_calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return made_once(tmp_path_factory, "calibration", calibrated, worker=worker) / "out"


@pytest.fixture
def calibration(made_calibration: Path, tmp_path: Path) -> Path:
    """Of one policy in four small worlds; a copy, for one test reckons it again."""
    return shutil.copytree(made_calibration, tmp_path / "out")


def calibrated(folder: Path) -> None:
    config = folder / "quick.yaml"
    config.write_text("{train_rows: 300, hidden_rows: 1000, max_regret: 0.9, max_miscalibration: 1.0}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("grader.cli.run_actions.open_nursery", borrowed)
        code = main(
            [*WORDS, "--policy", "hurried", "--runs", "4", "--config", str(config), "--output", str(folder / "out")]
        )
    assert code == 1  # so few episodes cannot certify anything


def found_in(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "calibration.json").read_bytes())
    return found


@pytest.mark.long
def test_it_counts_what_was_asked_and_judges_the_rate(calibration: Path) -> None:
    found = found_in(calibration)["calibration"]

    assert [found[name] for name in ("asked", "started", "graded", "excluded", "seeds")] == [8, 8, 8, 0, 4]
    assert 0 < found["rate"]["passed"] < 8
    assert found["verdict"] == "undecided"
    assert found["more_needed"] > 0


@pytest.mark.long
def test_the_controls_play_the_same_seeds(calibration: Path) -> None:
    def seeds(name: str) -> set[str]:
        lines = (calibration / name / "results.jsonl").read_bytes().splitlines()
        return {json.loads(line)["seed"] for line in lines}

    controls = found_in(calibration)["calibration"]["controls"]

    assert seeds("agents") == seeds("controls")
    assert controls["oracle"]["passed"] == controls["oracle"]["episodes"] == 4
    assert {name for name, rate in controls.items() if rate["passed"]} == {"oracle"}


@pytest.mark.long
def test_the_threshold_is_written_as_settings_that_can_be_used(calibration: Path) -> None:
    settings = load_settings(calibration / "threshold.yaml")

    assert settings.max_regret == found_in(calibration)["threshold"]["value"]
    assert (settings.train_rows, settings.num_runs) == (300, 4)


@pytest.mark.long
def test_an_earlier_calibration_is_reckoned_again_without_playing(
    calibration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = found_in(calibration)["threshold"]["value"]

    assert main(["calibrate", "leakage_modeling", "--from", str(calibration), "--quantile", "0.01"]) == 1

    assert found_in(calibration)["threshold"]["value"] > before
    told = capsys.readouterr().out
    assert told.startswith("Calibration (local policy)\nMODE: LOCAL")
    assert "no outcome of fewer than 44 independent episodes can certify the band" in told


@pytest.mark.long
def test_a_calibration_is_gone_on_with_and_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grader.cli.run_actions.open_nursery", borrowed)
    folder = tmp_path / "o"
    words = ["--mode", "agent", "--scripted", "--runs", "2", "--per-seed", "1", "--output", str(folder)]
    main([*WORDS, *words])
    seeds = {path.name for path in (folder / "agents" / "episodes").iterdir()}

    again = ["calibrate", "leakage_modeling", "--from", str(folder)]
    main(again)  # the same episodes: no other look
    main([*again, "--more", "1"])

    found = found_in(folder)
    assert [look["episodes"] for look in found["looks"]] == [2, 3]
    assert (found["calibration"]["look"], found["calibration"]["asked"]) == (2, 3)
    assert found["calibration"]["error"] < found["looks"][0]["error"]
    assert seeds < {path.name for path in (folder / "agents" / "episodes").iterdir()}
    assert found["calibration"]["controls"]["oracle"]["passed"] == 3


def test_to_go_on_needs_a_calibration_to_go_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "--more", "3"]) == 2

    assert "--more goes on with a calibration" in capsys.readouterr().err


@pytest.mark.long
def test_repeats_in_a_world_are_clustered_by_its_seed(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("grader.cli.run_actions.open_nursery", borrowed)
        main(
            [*WORDS, "--mode", "agent", "--scripted", "--runs", "2", "--per-seed", "2", "--output", str(tmp_path / "o")]
        )

    found = found_in(tmp_path / "o")["calibration"]

    assert (found["asked"], found["graded"], found["seeds"], found["design_effect"]) == (4, 4, 2, 2.0)
    assert found["pass_at"]["2"] == 0.5  # the honest one passes twice, the leaking one never


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--policy", "carefull"], "found no policy 'carefull'"),
        (["--from", "nowhere"], "found no run.json"),
        (["--runs", "0"], "--runs: found 0"),
    ],
)
def test_what_cannot_be_calibrated_is_said(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main([*WORDS, *words]) == 2

    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--quantile", "1.5"], ["--quantile", "x"], ["--per-seed", "0"]])
def test_a_number_out_of_its_range_is_a_usage_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*WORDS, *words])

    assert exit_.value.code == 2
    assert "expected a" in capsys.readouterr().err
