"""Types are exact: what merely looks or compares like a value is none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from grader.experiment_profiler.judging import strict
from grader.experiment_profiler.judging.strict import BadArtifact, is_number, quoted, same

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("value", [True, False, "1", None, [1], math.nan, math.inf], ids=str)
def test_what_is_no_number(value: Any) -> None:
    assert not is_number(value)


@pytest.mark.parametrize(
    ("found", "expected"),
    [(True, 1), (1, True), (1.0, 1), (True, 1.0), ("1", 1), ([True], [1]), ({"a": 1.0}, {"a": 1}), ([1, 2], [1])],
    ids=str,
)
def test_what_python_holds_equal_is_not_always_the_same(found: Any, expected: Any) -> None:
    assert not same(found, expected)


@pytest.mark.parametrize(("found", "expected"), [(0, 0.0), (0.5, 0.5), ({"a": [1, None]}, {"a": [1, None]})], ids=str)
def test_what_is_the_same(found: Any, expected: Any) -> None:
    assert same(found, expected)


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, "\x1b[2J\n\u202e", "\ud800", 10**19, {"a": 1}, None],
    ids=["long", "control", "surrogate", "number", "object", "nothing"],
)
def test_whatever_is_quoted_is_short_and_can_be_printed(value: Any) -> None:
    assert len(quoted(value)) < 400
    assert quoted(value).replace("…", "").isascii()
    assert quoted(value).isprintable()


def test_a_file_elsewhere_is_found_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert strict.find(tmp_path, "x", leave_out="logs") is None

    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "x").touch()
    assert strict.find(tmp_path, "x", leave_out="logs") is None

    (tmp_path / "a" / "b" / "x").touch()
    assert strict.find(tmp_path, "x", leave_out="logs") == "a/b/x"


def test_what_is_searched_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
    assert strict.find(tmp_path, "d", leave_out="logs") == "a/b/c/d"

    monkeypatch.setattr(strict, "SEARCH_LIMIT", 3)
    assert strict.find(tmp_path, "d", leave_out="logs") is None


@pytest.mark.parametrize("name", ["a/b", "a/../b"])
def test_a_way_through_what_is_no_folder_is_a_bad_artifact(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").touch()

    with pytest.raises(BadArtifact):
        strict.read(tmp_path, name)
