"""A copy is taken of regular files, within bounds, and nothing in a folder can lead elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from grader.experiment_profiler.boxes import submission
from grader.experiment_profiler.boxes.submission import UnusableSubmission, take

if TYPE_CHECKING:
    from pathlib import Path


def test_regular_files_are_taken_with_their_content(tmp_path: Path) -> None:
    (tmp_path / "package" / "in").mkdir(parents=True)
    (tmp_path / "package" / "in" / "a.py").write_bytes(b"x")

    assert take(tmp_path).files == {"package/in/a.py": b"x"}


def test_links_pipes_and_caches_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x")
    (tmp_path / "b.py").symlink_to("/etc/passwd")
    (tmp_path / "c").symlink_to(tmp_path.parent, target_is_directory=True)
    os.mkfifo(tmp_path / "d.py")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"x")

    assert set(take(tmp_path).files) == {"a.py"}


def test_the_hash_is_of_names_and_contents(tmp_path: Path) -> None:
    hashes = set()
    for name, files in {"a": {"x": b"1"}, "b": {"y": b"1"}, "c": {"x": b"2"}, "d": {"x": b"1", "y": b""}}.items():
        for file, content in files.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file).write_bytes(content)
        hashes.add(take(tmp_path / name).sha256)

    assert len(hashes) == 4


def test_a_file_too_large_is_not_even_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(UnusableSubmission, match="bytes"):
        take(tmp_path)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "ENTRIES_LIMIT", 3)
    for number in range(4):
        (tmp_path / f"{number}.py").touch()

    with pytest.raises(UnusableSubmission, match="files"):
        take(tmp_path)


def test_a_folder_nested_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "/".join("x" * 30)).mkdir(parents=True)

    with pytest.raises(UnusableSubmission, match="deep"):
        take(tmp_path)


def test_a_folder_that_took_itself_away_is_a_submission_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnusableSubmission, match="nothing is there"):
        take(tmp_path / "gone")


def test_a_folder_below_none_is_nobodys_submission(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="x: found nothing, expected the folder of a submission"):
        take(tmp_path / "nowhere" / "x")


def test_what_stands_in_the_place_of_the_folder_is_the_submissions_own_doing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "elsewhere").symlink_to(tmp_path, target_is_directory=True)

    for name in ("file", "link", "nowhere", "elsewhere"):
        with pytest.raises(UnusableSubmission):
            take(tmp_path / name)


def test_folders_count_as_files_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "ENTRIES_LIMIT", 3)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c" / "d").mkdir(parents=True)

    with pytest.raises(UnusableSubmission, match="folders"):
        take(tmp_path)


def test_a_path_too_long_to_be_copied_elsewhere_is_refused(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["x" * 250] * 5)
    folder.mkdir(parents=True)

    with pytest.raises(UnusableSubmission, match="path"):
        take(tmp_path)
