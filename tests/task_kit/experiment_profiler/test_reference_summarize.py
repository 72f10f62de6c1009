"""What the reference makes of the logs of others, and says of manifests that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reference_submission.experiment_profiler.cli import main
from reference_submission.experiment_profiler.config import ConfigError, ExperimentConfig
from reference_submission.experiment_profiler.runner import ExperimentRunner
from reference_submission.experiment_profiler.simulation import ClientFactory
from tests.task_kit.experiment_profiler.worlds import run, world


def foreign(folder: Path, *responses: dict[str, Any], facts: tuple[str, ...] = ("a", "b")) -> Path:
    folder.mkdir()
    ids = [response["dialogue_id"] for response in responses]
    requests = [{"dialogue_id": dialogue_id, "required_facts": facts} for dialogue_id in ids]
    for name, records in (("requests", requests), ("responses", responses)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def reply(dialogue_id: str, kind: str, completion: str | None) -> dict[str, Any]:
    return {"dialogue_id": dialogue_id, "type": kind, "completion": completion}


def test_logs_from_elsewhere_are_measured_by_type(tmp_path: Path) -> None:
    logs = foreign(
        tmp_path / "theirs",
        *(reply("1", "answer", "I can't help, A b"), reply("2", "refusal", "Sure!")),
        *(reply("3", "truncated", "b"), reply("4", "error", None)),
    )

    assert main(["summarize", "--log-dir", str(logs)]) == 0

    assert json.loads((logs / "summary.json").read_bytes()) == {
        "experiment_id": "theirs",
        "dialogues": 4,
        "fact_coverage": 0.5,
        "refusal_rate": 0.3333,
        "completion_rate": 0.75,
        "geometric_mean": 0.5774,
    }


def test_the_method_gives_the_same_and_writes_nothing(tmp_path: Path) -> None:
    config = ExperimentConfig.from_yaml(world(tmp_path))
    runner = ExperimentRunner(config=config, factory=ClientFactory(config.responses_path))
    logs = foreign(tmp_path / "theirs", reply("1", "answer", "A"))

    expected = {"fact_coverage": 0.5, "refusal_rate": 0.0, "completion_rate": 1.0, "geometric_mean": 0.7071}
    assert runner.summarize(logs) == expected
    assert not (logs / "summary.json").exists()


def test_without_answers_a_metric_is_null_and_not_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = foreign(tmp_path / "theirs", reply("1", "error", None))

    assert main(["summarize", "--log-dir", str(logs)]) == 0

    assert json.loads((logs / "summary.json").read_bytes())["fact_coverage"] is None
    assert capsys.readouterr().out.splitlines()[1].split() == ["fact_coverage", "-"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"dialogue_id": "2", "type": "answer", "completion": "a"}\n', "responses.jsonl:1: found dialogue '2'"),
        ("", "found dialogue None, expected '1'"),
        ('{"dialogue_id": "1", "type": "answer"}\n', "responses.jsonl:1: found no record"),
        ('{"dialogue_id": "1", "type": "odd", "completion": "a"}\n', "found the type 'odd'"),
        ('{"dialogue_id": "1", "type": "answer", "comp', "responses.jsonl:1: found a line without its end"),
    ],
)
def test_damaged_logs_are_an_error_with_their_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, complaint: str
) -> None:
    logs = foreign(tmp_path / "theirs", reply("1", "answer", "a"))
    (logs / "responses.jsonl").write_text(content)

    assert main(["summarize", "--log-dir", str(logs)]) == 2

    assert complaint in capsys.readouterr().err
    assert not (logs / "summary.json").exists()


def test_paths_are_absolute_wherever_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    config = ExperimentConfig.from_yaml("../manifest.yaml")

    assert (config.dataset_path, config.responses_path) == (tmp_path / "dialogues.json", tmp_path / "answers.json")


def test_everything_wrong_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong: dict[str, Any] = {
        "experiment_id": "../up",
        "max_tokens": True,
        "temperature": float("nan"),
        "mock": {},
        "output_fields": ["completion"],
        "metrics": ["speed"],
        "model": None,
    }
    manifest = world(tmp_path, **wrong)

    assert main(["run", "--config", str(manifest), "--output-dir", str(tmp_path / "runs")]) == 2

    said = capsys.readouterr().err
    assert [key for key in wrong if f"manifest.yaml: {key}: found " not in said] == []
    assert "dataset_path" not in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("content", ["- a list", "a: [", ""])
def test_what_is_no_manifest_is_an_error_with_its_path(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.yaml").write_text(content)

    with pytest.raises(ConfigError, match=r"m\.yaml: found"):
        ExperimentConfig.from_yaml(tmp_path / "m.yaml")


@pytest.mark.parametrize("name", ["dialogues", "answers"])
def test_an_input_that_is_missing_is_an_error_and_the_run_before_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    manifest = world(tmp_path)
    kept = run(manifest).artifacts.summary_path.read_bytes()
    (tmp_path / f"{name}.json").unlink()

    assert main(["run", "--config", str(manifest), "--output-dir", str(tmp_path / "runs")]) == 2

    assert f"{name}.json: cannot be read" in capsys.readouterr().err
    assert (tmp_path / "runs/w.1/summary.json").read_bytes() == kept
