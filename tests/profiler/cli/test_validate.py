"""`profiler validate`: what a manifest would ask, or why it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.profiler.cli.shell import Shell, manifest, several


def test_a_valid_manifest_is_told_with_what_it_would_ask(shell: Shell, tmp_path: Path) -> None:
    path = several(tmp_path)
    said = shell("validate", "--config", path)
    assert said.code == 0
    assert said.out.splitlines()[0] == f"a1: 4 dialogues of {tmp_path}/data.json to m"
    assert said.out.splitlines()[-1] == f"{path} is valid"
    found = shell("validate", "--config", path, "--select", "b*", "--json").json
    assert (found["valid"], found["warnings"]) == (True, [])
    assert found["experiments"] == [
        {"experiment_id": "b1", "model": "m", "dataset": f"{tmp_path}/data.json", "dialogues": 4}
    ]


def test_a_bad_dataset_and_a_bad_metric_are_not_valid(shell: Shell, tmp_path: Path) -> None:
    path = manifest(tmp_path, metrics=["no_such_module:metric"])
    assert "cannot import 'no_such_module'" in shell("validate", "--config", path).err
    path = manifest(tmp_path)
    (tmp_path / "data.json").write_text('[{"dialogue_id": "a", "user": 3}]')
    said = shell("validate", "--config", path, "--json")
    assert (said.code, said.out) == (2, "")
    assert "data.json:1:" in said.err


def test_what_is_wrong_with_several_experiments_is_told_at_once(shell: Shell, tmp_path: Path) -> None:
    path = several(tmp_path)
    document = json.loads(path.read_text())
    (tmp_path / "bad.json").write_text('[{"dialogue_id": "a", "user": 3}]')
    document["experiments"][0]["dataset_path"] = document["experiments"][2]["dataset_path"] = "bad.json"
    document["experiments"][1]["metrics"] = ["no_such_module:metric"]
    path.write_text(json.dumps(document))
    said = shell("validate", "--config", path)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: 3 of 3 experiments cannot run:\n")
    assert f"a1, b1: {tmp_path}/bad.json:1" in said.err
    assert "a2: metrics: cannot import 'no_such_module'" in said.err


def test_the_first_dialogues_can_be_seen_as_they_will_be_asked(shell: Shell, tmp_path: Path) -> None:
    rows = [{"q": f"Question {n}?\x1b[31m", "a": n, "level": "easy"} for n in range(5)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "m.yaml").write_text(
        "{experiment_id: e, model: claude-haiku-4-5, max_tokens: 9, system: Be brief., dataset_path: d.jsonl,"
        " dataset_fields: {user: q, expected: a, dialogue_id: {line: true}}}"
    )
    said = shell("validate", "--config", tmp_path / "m.yaml", "--show", "2")
    assert said.code == 0
    assert "1\n  system: Be brief.\n  user: Question 0?\\x1b[31m\n  expected: 0\n" in said.out
    assert "Question 1?" in said.out
    assert "Question 2?" not in said.out

    shown = shell("validate", "--config", tmp_path / "m.yaml", "--show", "1", "--json").json["dialogues"]["e"]
    shell("run", "--config", tmp_path / "m.yaml", "--output-dir", tmp_path / "runs", "--quiet")
    logged = (tmp_path / "runs" / "e" / "requests.jsonl").read_text().splitlines()
    assert shown == [json.loads(logged[0])]
    assert json.loads(logged[0])["expected"] == 0


def test_other_names_for_the_keys_of_a_dataset_are_another_run(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(json.dumps({"dialogue_id": "x", "q": "one", "r": "two"}) + "\n")
    text = (
        "{experiment_id: e, model: claude-haiku-4-5, max_tokens: 9, dataset_path: d.jsonl, dataset_fields: {user: %s}}"
    )
    command = ("run", "--config", tmp_path / "m.yaml", "--output-dir", tmp_path / "runs", "--quiet")
    (tmp_path / "m.yaml").write_text(text % "q")
    assert shell(*command).code == 0
    (tmp_path / "m.yaml").write_text(text % "r")
    said = shell(*command)
    assert said.code == 2
    assert "dataset_fields.user: the run has 'q', now it is 'r'" in said.err


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ("{usr: q}", "did you mean 'user'"),
        ("{user: q, messages: m}", "found user and messages, expected one of user, messages and turns"),
        ("{user: {line: true}}", "only dialogue_id can be the number of the line"),
        ("{dialogue_id: {line: false}}", "dialogue_id"),
        ("{user: 3}", "user"),
    ],
)
def test_dataset_fields_that_make_no_sense_are_refused(shell: Shell, tmp_path: Path, fields: str, fault: str) -> None:
    (tmp_path / "d.jsonl").write_text("{}")
    (tmp_path / "m.yaml").write_text(
        f"{{experiment_id: e, model: claude-haiku-4-5, max_tokens: 9, dataset_path: d.jsonl, dataset_fields: {fields}}}"
    )
    said = shell("validate", "--config", tmp_path / "m.yaml")
    assert said.code == 2
    assert fault in said.err
    assert "m.yaml:1:" in said.err
