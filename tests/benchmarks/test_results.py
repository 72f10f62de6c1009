"""That a full run becomes a document, and that the README says what it says."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from benchmarks import report, results
from benchmarks.figure import Figure
from benchmarks.report import Report

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = {
    "measured": "2026-11-21T12:00:00+00:00",
    "cpu": "a processor",
    "cores": 2,
    "system": "a system",
    "python": "CPython 3.11",
    "profiler": "0.1.0",
    "packages": {"anyio": "4.16"},
    "load": [0.1, 0.1, 0.1],
    "load_after": [0.9, 0.5, 0.2],
}
REPORT = Report(
    found={"speed": [Figure(name="ratio", value=20.0, at_least=15.0), Figure(name="rate", value=5.0, note="of many")]},
    machine=MACHINE,
    words=["left out: nobody"],
)
README = f"# Title\n\n{results.BEGIN}\nold\n{results.END}\n\nThe end.\n"


def test_the_readme_says_what_the_last_full_run_found() -> None:
    readme = results.README.read_text(encoding="utf-8")

    assert results.BEGIN in readme
    assert results.head_in(readme) == results.head_of(results.last_run())


def test_the_head_holds_the_goals_and_the_machine() -> None:
    head = results.head_of(results.results_of(REPORT, words=["--write"]))

    assert "| speed | ratio | 20 |  | ≥ 15 | yes |" in head
    assert "| rate |" not in head
    assert "a processor, 2 cores" in head
    assert "2026-11-21T12:00:00+00:00" in head


def test_the_table_says_what_was_left_out() -> None:
    file = io.StringIO()

    report.show(REPORT, file=file)

    assert file.getvalue().splitlines()[-2:] == ["speed.rate: of many", "left out: nobody"]
    assert report.as_json(REPORT)["words"] == ["left out: nobody"]


def test_the_document_says_how_to_repeat_it_and_all_else() -> None:
    document = results.results_of(REPORT, words=["--runs", "5", "--write"])

    assert 'make bench ARGS="--runs 5 --write"' in document
    assert "| speed | rate | 5 |  |  |  |" in document
    assert "- speed.rate: of many" in document
    assert "- left out: nobody" in document


def test_writing_changes_nothing_of_the_readme_but_the_head(tmp_path: Path) -> None:
    readme, document = tmp_path / "README.md", tmp_path / "RESULTS.md"
    readme.write_text(README, encoding="utf-8")

    results.write(REPORT, words=["--write"], results=document, readme=readme)

    text = readme.read_text(encoding="utf-8")
    assert text.startswith("# Title\n")
    assert text.endswith("\n\nThe end.\n")
    assert "old" not in text
    assert results.head_in(text) == results.head_of(document.read_text(encoding="utf-8"))


def test_a_second_writing_replaces_the_first(tmp_path: Path) -> None:
    readme, document = tmp_path / "README.md", tmp_path / "RESULTS.md"
    readme.write_text(README, encoding="utf-8")

    results.write(REPORT, words=["--write"], results=document, readme=readme)
    once = readme.read_bytes()
    results.write(REPORT, words=["--write"], results=document, readme=readme)

    assert readme.read_bytes() == once


def test_a_readme_without_markers_is_left_alone(tmp_path: Path) -> None:
    readme, document = tmp_path / "README.md", tmp_path / "RESULTS.md"
    readme.write_text("# Title\n", encoding="utf-8")

    with pytest.raises(results.NoMarkers, match="expected the head between them"):
        results.write(REPORT, words=["--write"], results=document, readme=readme)
    assert not document.exists()
