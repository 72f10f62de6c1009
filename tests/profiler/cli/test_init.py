from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from profiler.cli.init import SAMPLE_FILES, SCHEMA_FILE, scaffold
from profiler.core.errors import UsageError
from profiler.manifest.load import load_manifest

ROOT = Path(__file__).parents[3]


def test_the_scaffold_is_a_manifest_that_loads_without_warnings(tmp_path: Path) -> None:
    scaffold(tmp_path)
    manifest = load_manifest(tmp_path / "configs/sample_experiment.yaml", environ={})
    assert [experiment.experiment_id for experiment in manifest.experiments] == ["demo_run"]
    assert manifest.warnings == ()


def test_the_written_paths_are_returned(tmp_path: Path) -> None:
    assert sorted(scaffold(tmp_path)) == sorted(path for path in tmp_path.rglob("*") if path.is_file())


def test_the_modeline_points_to_the_schema_beside_the_manifest(tmp_path: Path) -> None:
    scaffold(tmp_path)
    first = (tmp_path / "configs/sample_experiment.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={Path(SCHEMA_FILE).name}"


def test_an_existing_file_is_kept_and_nothing_is_written(tmp_path: Path) -> None:
    kept = tmp_path / "data/dialogues.json"
    kept.parent.mkdir()
    kept.write_text("mine")
    with pytest.raises(UsageError, match=r"data/dialogues\.json"):
        scaffold(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]
    assert kept.read_text() == "mine"


@pytest.mark.parametrize("name", [*SAMPLE_FILES, SCHEMA_FILE])
def test_the_repository_shows_what_init_writes(name: str, tmp_path: Path) -> None:
    scaffold(tmp_path)
    assert (ROOT / name).read_bytes() == (tmp_path / name).read_bytes()


def test_the_sample_gives_the_promised_metrics(tmp_path: Path) -> None:
    scaffold(tmp_path)
    dialogues = json.loads((tmp_path / "data/dialogues.json").read_text())
    answers = json.loads((tmp_path / "data/mock_responses.json").read_text())
    covered = [_coverage(d["required_facts"], answers[d["dialogue_id"]]["completion"]) for d in dialogues]
    refused = [answers[d["dialogue_id"]]["stop_reason"] == "refusal" for d in dialogues]
    coverage, refusals = sum(covered) / 3, sum(refused) / 3
    rounded = [round(value, 4) for value in (coverage, refusals, math.sqrt(coverage * (1 - refusals)))]
    assert rounded == [0.8889, 0.3333, 0.7698]


def test_the_refused_dialogue_is_the_one_expected_to_be(tmp_path: Path) -> None:
    scaffold(tmp_path)
    dialogues = json.loads((tmp_path / "data/dialogues.json").read_text())
    answers = json.loads((tmp_path / "data/mock_responses.json").read_text())
    expected = {d["dialogue_id"] for d in dialogues if d.get("expect_refusal")}
    assert expected == {name for name, answer in answers.items() if answer["metadata"]["type"] == "refusal"}


def _coverage(facts: list[str], completion: str) -> float:
    return sum(fact.lower() in completion.lower() for fact in facts) / len(facts) if facts else 1.0
