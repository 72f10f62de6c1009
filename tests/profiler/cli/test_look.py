from __future__ import annotations

import json
import os
import pty
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from profiler.cli import main
from tests.profiler.results.runs import finished

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.storage.reading.saved_run import SavedRun


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SavedRun:
    return finished(tmp_path_factory.mktemp("run"))


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main.main([str(word) for word in words])
    return (code, *capsys.readouterr())


@pytest.mark.parametrize(
    "edit",
    [
        {"cost_usd": {"total": 3}},
        {"counts": {"total": "many"}},
        {"run": {"identity": ["x"]}},
        {"run": {"items": 3}},
        {"metrics": {"m": {"value": 1, "ci95": {}}}},
    ],
)
def test_a_run_whose_summary_was_edited_hides_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], edit: dict[str, Any]
) -> None:
    whole = finished(tmp_path)
    edited = tmp_path / "runs" / "edited"
    shutil.copytree(whole.folder, edited)
    (edited / "summary.json").write_text(json.dumps(whole.summary | edit))

    code, out, err = said(capsys, "list", tmp_path / "runs")

    assert code == (0 if "metrics" in edit else 2)
    assert "complete 12" in out
    assert "edited" in out
    assert ("do not hold what a run writes" in err) == ("metrics" not in edit)


def test_list_shows_a_line_a_run(run: SavedRun, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "list", run.folder.parent)
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("e ")]
    value = run.summary["metrics"]["refusal_rate"]["value"]
    assert "complete 12" in line
    assert "claude-haiku-4-5" in line
    assert f"{value:.4g} [" in line
    assert "not shown here: numeric; --json has them" in out

    code, out, _ = said(capsys, "list", run.folder.parent, "--json")
    (row,) = json.loads(out)["runs"]
    assert row["metrics"] == run.summary["metrics"]


def test_list_goes_on_past_a_run_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path)
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "summary.json").write_text("{")
    code, out, err = said(capsys, "list", tmp_path / "runs")
    assert code == 2
    assert "unreadable" in out
    assert "complete 12" in out
    assert "broken/summary.json" in err


@pytest.mark.parametrize("folder", [".", "nowhere"])
def test_list_of_nothing_says_where_to_look(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str) -> None:
    code, _, err = said(capsys, "list", tmp_path / folder)
    assert code == 2
    assert "profiler list DIR" in err


def test_show_tells_question_answer_scores_and_error(run: SavedRun, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "show", run.folder, "d4", "d1")
    assert code == 0
    assert "--- d1 (number 1): refusal\nuser: What is 1 + 1?\nassistant: I cannot help with that.\nexpected: 2\n" in out
    assert 'late\n    and on two lines, with "quotes" and \\x1b[31m colour' in out
    assert "\x1b" not in out
    assert "scores: fact_coverage 0, refusal_rate true" in out
    assert "2 shown of" in err

    _, out, _ = said(capsys, "show", run.folder, "--errors", "--limit", "1")
    assert "error: invalid_request 400: " in out


def test_show_writes_one_object_a_line_for_programs(run: SavedRun, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = said(capsys, "show", run.folder, "--tag", "odd", "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert [each["record"]["dialogue_id"] for each in found] == ["d1", "d3", "d5", "d7", "d9", "d11"]
    assert {"request", "record", "scores"} == set(found[0])
    assert err == ""


def test_show_of_nothing_says_so(run: SavedRun, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "show", run.folder, "--grep", "nobody says this")
    assert (code, out) == (0, "")
    assert "none of the dialogues" in err


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (("--where", "latency_s >"), "the end"),
        (("--worst", "latency_s", "many"), "expected how many, found 'many'"),
        (("--worst", "latncy_s", "3"), "did you mean 'latency_s'?"),
        (("d99",), "there is no dialogue 'd99' in this run"),
    ],
)
def test_what_cannot_be_shown_is_a_mistake(
    run: SavedRun, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], wrong: str
) -> None:
    code, _, err = said(capsys, "show", run.folder, *words)
    assert code == 2
    assert wrong in err


def test_on_a_terminal_a_pager_shows_it(run: SavedRun) -> None:
    """The pager is a program that says that it was one."""
    reader, writer = pty.openpty()
    pager = f"{shlex.quote(sys.executable)} -c 'import sys; print(len(sys.stdin.read().splitlines()), \"lines paged\")'"
    command = [sys.executable, "-m", "profiler", "show", str(run.folder), "d1", "d2"]
    try:
        ended = subprocess.run(
            command, stdout=writer, stderr=subprocess.PIPE, env={**os.environ, "PAGER": pager}, check=True, timeout=60
        )
        assert "lines paged" in os.read(reader, 4096).decode()
        assert b"2 shown" in ended.stderr
    finally:
        os.close(reader)
        os.close(writer)


def test_export_writes_what_the_name_of_the_file_says(
    run: SavedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(capsys, "export", run.folder, "-o", tmp_path / "x.jsonl")
    assert (code, out) == (0, "")
    assert "12 rows written to" in err
    assert "texts of questions and answers are inside" in err
    assert len((tmp_path / "x.jsonl").read_text().splitlines()) == 12

    code, out, err = said(capsys, "export", run.folder, "-o", "-", "--to", "csv", "--no-texts")
    assert code == 0
    assert "no text of a question or an answer is inside" in err

    code, _, err = said(capsys, "export", run.folder, "-o", tmp_path / "x.xlsx")
    assert code == 2
    assert "add --to with one of csv, jsonl, parquet, sqlite" in err
    assert said(capsys, "export", run.folder, "-o", tmp_path / "x.jsonl", "--raw")[0] == 2


def test_calls_of_tools_and_what_a_refusal_is_about_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = {"stop_details": {"type": "refusal", "category": "cyber", "explanation": "It is\x1b[31m malware."}}
    answers = {"d1": {"completion": "", "stop_reason": "refusal", "metadata": refused}}
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    tool = {"name": "look_up", "input_schema": {"type": "object", "properties": {"n": {"const": 3}}, "required": ["n"]}}
    own = {"tools": [tool], "tool_choice": {"type": "tool", "name": "look_up"}}
    rows = [{"dialogue_id": "d0", "user": "?", "request": own}, {"dialogue_id": "d1", "user": "?"}]
    (tmp_path / "d.json").write_text(json.dumps(rows))
    manifest = {"experiment_id": "e", "model": "m", "max_tokens": 64, "dataset_path": "d.json"}
    (tmp_path / "m.yaml").write_text(json.dumps({**manifest, "mock": {"responses_path": "answers.json"}}))
    assert (
        said(capsys, "run", "--config", tmp_path / "m.yaml", "--output-dir", tmp_path, "--mode", "mock", "--quiet")[0]
        == 0
    )

    _, out, _ = said(capsys, "show", tmp_path / "e", "--no-pager")
    assert 'assistant: [calls look_up {"n":3}]' in out
    assert "refusal: cyber: It is\\x1b[31m malware." in out
    _, out, _ = said(capsys, "show", tmp_path / "e", "--no-pager", "--where", "refusal_category == 'cyber'")
    assert [line for line in out.splitlines() if line.startswith("---")] == ["--- d1 (number 1): refusal"]
    _, out, _ = said(capsys, "export", tmp_path / "e", "--to", "jsonl", "-o", "-")
    called, refusal = map(json.loads, out.splitlines())
    assert [(call["name"], call["input"]) for call in called["tool_calls"]] == [("look_up", {"n": 3})]
    assert (called["refusal_category"], refusal["refusal_category"]) == (None, "cyber")
    _, out, _ = said(capsys, "validate", "--config", tmp_path / "m.yaml", "--show", "1")
    assert 'sent besides: {"tools":[{"name":"look_up"' in out


def test_ids_may_stand_after_the_options_and_look_like_them(run: SavedRun, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "show", run.folder, "--json", "d1", "--limit", "5", "d3")
    assert code == 0
    assert [json.loads(line)["request"]["dialogue_id"] for line in out.splitlines()] == ["d1", "d3"]

    code, _, err = said(capsys, "show", run.folder, "--json", "--", "--limit")
    assert (code, err.splitlines()[0]) == (2, "error: there is no dialogue '--limit' in this run")

    with pytest.raises(SystemExit):
        main.main(["show", str(run.folder), "--json", "d1", "--limmit"])
    assert "did you mean '--limit'?" in capsys.readouterr().err
