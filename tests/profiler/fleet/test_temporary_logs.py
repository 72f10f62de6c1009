"""The folder for logs of workers is removed: by its command or, where that was killed, by the next one."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from profiler.fleet.temporary_logs import PREFIX, temporary_logs

KILLED = """
import os, signal
from profiler.fleet.temporary_logs import temporary_logs

with temporary_logs() as folder:
    (folder / "worker-0.log").write_text("its last words")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_each_removes_what_a_killed_one_left_and_nothing_else(place: Path) -> None:
    precious = place / "precious"
    precious.mkdir()
    (place / f"{PREFIX}link").symlink_to(precious)
    (place / f"{PREFIX}file").touch()
    with temporary_logs() as living:
        killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
        left = Path(killed.stdout.strip())
        assert (left / "worker-0.log").exists()
        with temporary_logs() as another:
            assert living.is_dir()
            assert another.is_dir()
            assert not left.exists()
    assert {path.name for path in place.iterdir()} == {"precious", f"{PREFIX}link", f"{PREFIX}file"}


def test_one_that_another_command_took_away_before_it_was_locked_is_made_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, taken = fcntl.flock, list[Path]()

    def late(fd: int, operation: int) -> None:
        if not taken:
            taken.extend(place.iterdir())
            shutil.rmtree(taken[0])
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with temporary_logs() as folder:
        assert list(place.iterdir()) == [folder] != taken
