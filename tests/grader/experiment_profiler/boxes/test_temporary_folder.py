"""The folder of a grading: who can look into it, and that it goes, also when whoever made it is killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from grader.experiment_profiler.boxes import temporary_folder

if TYPE_CHECKING:
    from pathlib import Path

HELD = """
from grader.experiment_profiler.boxes.temporary_folder import temporary
with temporary() as folder:
    (folder / "work").mkdir()
    print(folder, flush=True)
    input()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where folders are made."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    temporary_folder.remove_what_killed_ones_left.cache_clear()
    return tmp_path


def test_what_a_killed_process_left_goes_with_the_next_and_what_is_in_use_stays(place: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HELD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        theirs = other.stdout.readline().decode().strip()
        with temporary_folder.temporary() as ours:
            assert sorted(map(str, place.iterdir())) == sorted([theirs, str(ours)])
        other.send_signal(signal.SIGKILL)
        other.wait()

    temporary_folder.remove_what_killed_ones_left.cache_clear()
    with temporary_folder.temporary() as ours:
        assert list(place.iterdir()) == [ours]
    assert list(place.iterdir()) == []


def test_a_link_that_looks_like_a_folder_of_ours_is_left_alone(place: Path) -> None:
    (place / "precious").mkdir()
    (place / f"{temporary_folder.PREFIX}x").symlink_to(place / "precious")
    with temporary_folder.temporary():
        assert (place / "precious").is_dir()


def test_a_temporary_folder_goes_whatever_was_done_to_it() -> None:
    with temporary_folder.temporary() as folder:
        deep = os.open(folder, os.O_RDONLY)
        for _ in range(200):
            os.mkdir("x", dir_fd=deep)
            deeper = os.open("x", os.O_RDONLY, dir_fd=deep)
            os.close(deep)
            deep = deeper
        os.close(deep)
        (folder / "x").chmod(0)

    assert not folder.exists()


def test_a_temporary_folder_lies_where_the_user_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)

    with temporary_folder.temporary() as folder:
        assert folder.parent == tmp_path


def test_without_room_in_memory_it_lies_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(temporary_folder, "MEMORY_ROOM", 1 << 60)

    with temporary_folder.temporary() as folder:
        assert str(folder.parent) != temporary_folder.MEMORY


def test_others_can_pass_through_a_temporary_folder_but_not_list_it() -> None:
    with temporary_folder.temporary() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o711
