"""Metrics that compare answers with what the dataset expects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.profiler.cli.shell import Shell


def judged_manifest(folder: Path, metrics: str, rows: list[dict[str, object]]) -> Path:
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "answers.json").write_text(
        json.dumps({str(row["dialogue_id"]): {"completion": "The answer is 8."} for row in rows})
    )
    (folder / "m.yaml").write_text(
        "experiment_id: e\nmodel: claude-haiku-4-5\nmax_tokens: 9\ndataset_path: d.jsonl\n"
        f"mock: {{responses_path: answers.json}}\nmetrics: {metrics}\n"
    )
    return folder / "m.yaml"


EIGHTS: list[dict[str, object]] = [
    {"dialogue_id": "a", "user": "5+3?", "expected": 8},
    {"dialogue_id": "b", "user": "5+4?", "expected": 9},
    {"dialogue_id": "c", "user": "anything"},
]


def test_answers_are_compared_with_what_is_expected(shell: Shell, tmp_path: Path) -> None:
    path = judged_manifest(tmp_path, "[{name: sum_ok, numeric: {}}, contains, {regex: {pattern: '^The'}}]", EIGHTS)
    command = ("run", "--config", path, "--output-dir", tmp_path / "runs", "--json", "--quiet")
    assert shell(*command).code == 0
    summary = json.loads((tmp_path / "runs/e/summary.json").read_text())
    assert (summary["sum_ok"], summary["metrics"]["sum_ok"]["n"]) == (0.5, 2)
    assert (summary["contains"], summary["regex"]) == (0.5, 1.0)
    assert summary["run"]["metrics"] == [{"name": "sum_ok", "numeric": {}}, "contains", {"regex": {"pattern": "^The"}}]
    scores = [json.loads(line)["scores"] for line in (tmp_path / "runs/e/scores.jsonl").read_text().splitlines()]
    assert [each["sum_ok"] for each in scores] == [True, False, None]

    again = shell("summarize", "--log-dir", tmp_path / "runs", "--recompute", "--json").json
    assert json.dumps(again).count('"sum_ok"') >= 2

    # Other metrics never ask anything: the answers are counted again.
    judged_manifest(tmp_path, "[{name: sum_ok, numeric: {absolute: 1}}]", EIGHTS)
    said = shell("run", "--config", path, "--output-dir", tmp_path / "runs")
    assert "counted again from the logs" in said.err
    assert json.loads((tmp_path / "runs/e/summary.json").read_text())["sum_ok"] == 1.0


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ("[{regex: {pattern: '(?=x)'}}]", "m.yaml:6:29: found '(?=x)', expected a regular expression"),
        ("[{exact_match: {extract: '('}}]", "expected a regular expression"),
        ("[{json_schema: {schema: {type: objekt}}}]", "found no JSON Schema that can be checked: $.type"),
        ("[{json_schema: {}}]", "found no 'schema'"),
        ("[regex]", "m.yaml:6:"),
        ("[{exact_match: {}, contains: {}}]", "found exact_match and contains, expected one of exact_match"),
        ("[{name: x}]", "found no metric, expected one of exact_match"),
        ("[{exact_match: {normalise: []}}]", "did you mean 'normalize'?"),
        ("[{exact_match: {normalize: [casing]}}]", "did you mean 'case'?"),
        ("[contains, {contains: {}}]", "found 'contains' a second time"),
    ],
)
def test_a_metric_that_cannot_be_used_is_told_with_its_place(
    shell: Shell, tmp_path: Path, metrics: str, said: str
) -> None:
    found = shell("validate", "--config", judged_manifest(tmp_path, metrics, EIGHTS))
    assert found.code == 2
    assert said in found.err


@pytest.mark.parametrize("command", [("validate",), ("run", "--dry-run"), ("run",)])
def test_a_comparison_with_nothing_is_refused_before_anything_is_asked(
    shell: Shell, tmp_path: Path, command: tuple[str, ...]
) -> None:
    rows: list[dict[str, object]] = [{"dialogue_id": "a", "user": "5+3?", "answer": "8"}]
    path = judged_manifest(tmp_path, "[exact_match, length]", rows)
    more = ("--output-dir", tmp_path / "runs") if command[0] == "run" else ()
    said = shell(*command, "--config", path, *more)
    assert said.code == 2
    assert "d.jsonl:1: no dialogue has expected, which exact_match would compare answers with" in said.err
    assert "dataset_fields: {expected: answer}" in said.err
    assert not (tmp_path / "runs" / "e" / "journal.jsonl").exists()


@pytest.mark.parametrize(
    ("metric", "expected", "said"),
    [
        ("numeric", "eight", "expected is 'eight', and numeric compares with one number"),
        ("choice", ["A", "F"], "expected is 'F', which is none of the choices A, B, C, D, E"),
    ],
)
@pytest.mark.parametrize("command", [("validate",), ("run", "--dry-run"), ("run",)])
def test_an_expectation_that_a_metric_cannot_compare_with_is_refused_with_its_line(
    shell: Shell, tmp_path: Path, command: tuple[str, ...], metric: str, expected: object, said: str
) -> None:
    right = 8 if metric == "numeric" else "B"
    rows: list[dict[str, object]] = [
        {"dialogue_id": "a", "user": "5+3?", "expected": right},
        {"dialogue_id": "b", "user": "5+4?", "expected": expected},
    ]
    path = judged_manifest(tmp_path, f"[{metric}]", rows)
    more = ("--output-dir", tmp_path / "runs") if command[0] == "run" else ()
    told = shell(*command, "--config", path, *more)
    assert told.code == 2
    assert f"d.jsonl:2: {said} (dialogue 'b', metric {metric})" in told.err
    assert not (tmp_path / "runs" / "e" / "responses.jsonl").exists()
    if command == ("run",):
        assert shell(*command, "--config", path, *more, "--limit", "1").code == 0
