"""`profiler report` as it is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.cli.main import main
from tests.profiler.results.report.making import item, make_run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_it_says_where_the_report_is_and_whether_texts_are_inside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, path = make_run(tmp_path / "mine", [item(0), item(1)]), tmp_path / "r.html"

    assert main(["report", str(run), "-o", str(path)]) == 0
    said = capsys.readouterr()
    assert said.out == f"Report written to {path}\n"
    assert said.err == "2 of 2 dialogues are in the file, their texts are inside\n"

    assert main(["report", str(run), "-o", str(path), "--no-texts"]) == 0
    assert capsys.readouterr().err == "2 of 2 dialogues are in the file, without any text of theirs\n"


def test_what_cannot_be_written_or_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "mine", [item(0)])

    assert main(["report", str(run), "-o", str(tmp_path)]) == 2
    assert "found a folder" in capsys.readouterr().err
    assert main(["report", str(run), "-o", str(tmp_path / "nowhere" / "r.html")]) == 2
    assert f"hint: make its folder, {tmp_path / 'nowhere'}" in capsys.readouterr().err
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "r.html")]) == 2
    said = capsys.readouterr().err
    assert "found no run in it" in said
    assert f"name one of the runs below it: {run}" in said


def test_it_never_replaces_what_a_run_consists_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "mine", [item(0)])
    before = (run / "responses.jsonl").read_bytes()

    assert main(["report", str(run), "-o", str(run / "responses.jsonl")]) == 2
    assert "is a file of a run" in capsys.readouterr().err
    assert (run / "responses.jsonl").read_bytes() == before


def test_runs_may_stand_after_the_options(tmp_path: Path) -> None:
    one, two = (str(make_run(tmp_path / name, [item(0)])) for name in ("one", "two"))
    path = tmp_path / "r.html"

    assert main(["report", one, "-o", str(path), two]) == 0
    assert "<title>Report: one and two</title>" in path.read_text()
