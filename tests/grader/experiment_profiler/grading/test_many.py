"""Results of many stand in order, one a line, and an interrupted batch goes on where it stopped."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from grader.experiment_profiler.grading import many
from grader.experiment_profiler.grading.grade import Asked
from grader.experiment_profiler.grading.many import grade_many
from grader.experiment_profiler.grading.stored import StoredResultError

if TYPE_CHECKING:
    from pathlib import Path

ASKED = Asked(seed="a", worlds=0)


@pytest.fixture
def graded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was graded, by a stand-in that decides by the name."""
    names: list[str] = []

    def grade_one(folder: Path, asked: Asked) -> dict[str, Any]:
        names.append(folder.name)
        status = folder.name.partition("-")[0]
        return {"status": status, "submission": {"path": str(folder)}, "asked": asked.public()}

    monkeypatch.setattr(many, "_grade_one", grade_one)
    return names


def folders(root: Path, *names: str) -> list[Path]:
    return [root / name for name in names]


def written(path: Path) -> list[str]:
    return [json.loads(line)["submission"]["path"].rpartition("/")[2] for line in path.read_text().splitlines()]


def test_results_stand_in_the_order_of_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one ends last."""
    others = threading.Barrier(2)

    def grade_one(folder: Path, asked: Asked) -> dict[str, Any]:
        if folder.name in "ad":
            others.wait(timeout=10)
        return {"status": "pass", "submission": {"path": str(folder)}}

    monkeypatch.setattr(many, "_grade_one", grade_one)

    grade_many(folders(tmp_path, *"abcd"), ASKED, output=tmp_path / "out", jobs=2)
    assert written(tmp_path / "out") == [*"abcd"]


@pytest.mark.usefixtures("graded")
def test_it_counts_each_verdict(tmp_path: Path) -> None:
    asked = folders(tmp_path, "pass-1", "fail-1", "pass-2", "error-1")

    assert grade_many(asked, ASKED, output=tmp_path / "out", jobs=1) == {"pass": 2, "fail": 1, "error": 1}


def test_it_goes_on_where_it_stopped(tmp_path: Path, graded: list[str]) -> None:
    out, asked = tmp_path / "out", folders(tmp_path, "pass-1", "fail-2", "pass-3")
    grade_many(asked[:2], ASKED, output=out, jobs=1)

    assert grade_many(asked, ASKED, output=out, jobs=1) == {"pass": 2, "fail": 1}
    assert graded == written(out) == ["pass-1", "fail-2", "pass-3"]


@pytest.mark.parametrize("tail", ['{"status": "pa', '{"status": "pass"}', "\n"], ids=["torn", "no end", "empty"])
def test_a_torn_line_is_graded_again(tmp_path: Path, graded: list[str], tail: str) -> None:
    out, asked = tmp_path / "out", folders(tmp_path, "pass-1", "pass-2")
    grade_many(asked[:1], ASKED, output=out, jobs=1)
    with out.open("a") as file:
        file.write(tail)

    grade_many(asked, ASKED, output=out, jobs=1)
    assert graded == written(out) == ["pass-1", "pass-2"]


def test_errors_are_graded_again(tmp_path: Path, graded: list[str]) -> None:
    out, asked = tmp_path / "out", folders(tmp_path, "pass-1", "error-2")
    grade_many(asked, ASKED, output=out, jobs=1)

    grade_many(asked, ASKED, output=out, jobs=1)
    assert graded == ["pass-1", "error-2", "error-2"]
    assert written(out) == ["pass-1", "error-2"]


@pytest.mark.usefixtures("graded")
@pytest.mark.parametrize("change", ["folders", "fewer", "settings"])
def test_results_of_something_else_are_not_gone_on_with(tmp_path: Path, change: str) -> None:
    out, asked = tmp_path / "out", folders(tmp_path, "pass-1", "pass-2")
    grade_many(asked, ASKED, output=out, jobs=1)
    before = out.read_bytes()
    others = {"folders": folders(tmp_path, "pass-0", "pass-2"), "fewer": asked[:1], "settings": asked}[change]
    how = Asked(seed="a", worlds=1) if change == "settings" else ASKED

    with pytest.raises(StoredResultError, match="choose another --output"):
        grade_many(others, how, output=out, jobs=1)
    assert out.read_bytes() == before


def test_without_a_seed_each_has_its_own_and_goes_on_all_the_same(tmp_path: Path) -> None:
    out, empty = tmp_path / "out", [tmp_path / "a", tmp_path / "b"]
    for folder in empty:
        folder.mkdir()
    asked = Asked(seed="", worlds=0)

    grade_many(empty[:1], asked, output=out, jobs=1)
    assert grade_many(empty, asked, output=out, jobs=2) == {"fail": 2}
    seeds = [json.loads(line)["asked"]["seed"] for line in out.read_text().splitlines()]
    assert len({*seeds, ""}) == 3


def test_one_that_cannot_be_graded_hurts_no_other(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()

    counts = grade_many(folders(tmp_path, "nowhere/a", "b"), ASKED, output=tmp_path / "out", jobs=2)
    assert counts == {"error": 1, "fail": 1}
