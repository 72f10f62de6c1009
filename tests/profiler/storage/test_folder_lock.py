from __future__ import annotations

import fcntl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from profiler.core.errors import RunDirectoryError
from profiler.storage.folder_lock import locked

if TYPE_CHECKING:
    from pathlib import Path


def test_a_directory_is_made_and_held_while_it_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with (
        locked(folder),
        pytest.raises(RunDirectoryError, match="another run is writing here"),
        locked(folder),
    ):
        pass
    with locked(folder):
        assert folder.is_dir()


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    code = f"import fcntl, os; fcntl.flock(os.open({str(tmp_path)!r}, os.O_RDONLY), fcntl.LOCK_EX); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    with locked(tmp_path):
        pass


def test_what_goes_wrong_while_the_lock_is_held_is_not_taken_for_the_lock(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError, match="of somebody else"), locked(tmp_path):
        raise BlockingIOError(11, "of somebody else")


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(fd: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(RunDirectoryError, match="No locks available"), locked(tmp_path):
        pass


def test_a_folder_that_was_moved_aside_in_between_is_not_taken_for_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def moved_first(fd: int, operation: int) -> None:
        folder.rename(tmp_path / "run.old")
        really_lock(fd, operation)

    really_lock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", moved_first)
    with pytest.raises(RunDirectoryError, match="another run is writing here"), locked(folder):
        pass


@pytest.mark.parametrize("blocked", ["run", "run/deeper"])
def test_a_file_in_the_way_is_refused(tmp_path: Path, blocked: str) -> None:
    (tmp_path / "run").write_text("not a folder")
    with (
        pytest.raises(RunDirectoryError, match="cannot be used as a run directory") as caught,
        locked(tmp_path / blocked),
    ):
        pass
    assert "--output-dir" in str(caught.value.hint)
