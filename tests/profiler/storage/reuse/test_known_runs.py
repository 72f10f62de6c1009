"""Which runs a person means with --reuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from profiler.core.errors import UsageError
from profiler.storage.names import JOURNAL, SUMMARY
from profiler.storage.reuse.known_runs import Known, known_runs

if TYPE_CHECKING:
    from pathlib import Path


def run_in(folder: Path, *, complete: bool = True) -> Path:
    folder.mkdir(parents=True)
    (folder / (SUMMARY if complete else JOURNAL)).touch()
    return folder


def test_a_run_directory_or_all_in_a_folder_of_them_each_once(tmp_path: Path) -> None:
    b, a = run_in(tmp_path / "b"), run_in(tmp_path / "a", complete=False)
    run_in(tmp_path / "a.old-20260101T000000")
    (tmp_path / "no-run").mkdir()
    assert known_runs([b], folders=[], fresh=False) == [Known(b, "b")]
    assert known_runs([b, tmp_path], folders=[], fresh=False) == [Known(b, "b"), Known(a, "a")]


def test_a_run_that_fresh_moves_aside_is_meant_before_and_after_that(tmp_path: Path) -> None:
    mine = run_in(tmp_path / "mine")
    assert known_runs([mine], folders=[mine], fresh=True) == [Known(mine, "mine")]

    aside = mine.rename(tmp_path / "mine.old-20260101T000000")
    assert known_runs([mine], folders=[mine], fresh=False) == [Known(aside, "mine")]  # killed before it began
    assert known_runs([tmp_path], folders=[mine], fresh=False) == [Known(aside, "mine")]
    run_in(mine, complete=False)
    assert known_runs([mine], folders=[mine], fresh=False) == [Known(mine, "mine", mine), Known(aside, "mine")]


def test_behind_unfinished_takes_stands_the_one_that_they_took_from(tmp_path: Path) -> None:
    """Who repeats a killed command with --fresh in it moves aside a run that had not taken over everything yet."""
    mine = run_in(tmp_path / "mine", complete=False)
    second = run_in(tmp_path / "mine.old-20260102T000000", complete=False)
    first = run_in(tmp_path / "mine.old-20260101T000000")
    run_in(tmp_path / "mine.old-20250101T000000")
    found = known_runs([mine], folders=[mine], fresh=True)
    assert [known.folder for known in found] == [mine, second, first]


@pytest.mark.parametrize("name", ["nothing", "empty", "mine"])
def test_a_place_without_a_run_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="found no run in it"):
        known_runs([tmp_path / name], folders=[tmp_path / "runs" / "mine"], fresh=True)
