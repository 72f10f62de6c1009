"""The cache of the sandbox stays small, and nothing that anybody uses is taken from it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from task_kit.sandbox import SandboxError, kept_folders
from task_kit.sandbox.kept_folders import NEWEST, UNUSED_S, cache_folder, laid_out, taken

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = str(Path(__file__).resolve().parents[3])
LONG_AGO = time.time() - 2 * UNUSED_S


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of our own, empty; descriptors of what is used are given back."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kept_folders, "IN_USE", [])
    cache_folder.cache_clear()
    try:
        yield cache_folder()
    finally:
        cache_folder.cache_clear()
        for descriptor in kept_folders.IN_USE:
            os.close(descriptor)


def old(cache: Path, *names: str) -> None:
    for name in names:
        (cache / name / "bin").mkdir(parents=True)
        (cache / name / "bin" / "python").symlink_to(sys.executable)
        os.utime(cache / name, (LONG_AGO, LONG_AGO))


def names(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


def make(name: str) -> Path:
    return laid_out(name, links={"bin/python": Path(sys.executable)}, files={"pyvenv.cfg": "home"})


def test_what_nobody_has_used_for_long_goes_but_for_the_newest(cache: Path) -> None:
    old(cache, *(f"packages-{n}" for n in range(NEWEST + 7)))
    os.utime(cache / "packages-3")

    made = make("python-new")

    assert (made / "bin" / "python").resolve() == Path(sys.executable).resolve()
    assert {"python-new", "packages-3"} < names(cache)
    assert len(names(cache)) == NEWEST


def test_what_was_used_today_stays_however_much_there_is(cache: Path) -> None:
    for n in range(NEWEST + 7):
        make(f"packages-{n}")

    assert len(names(cache)) == NEWEST + 7


def test_what_another_process_uses_stays(cache: Path) -> None:
    old(cache, *(f"packages-{n}" for n in range(NEWEST + 7)))
    code = """
import sys
from task_kit.sandbox.kept_folders import taken
print(taken("packages-3"), flush=True)
sys.stdin.read()
"""
    env = {"XDG_CACHE_HOME": str(cache.parent), "PYTHONPATH": ROOT}
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == str(cache / "packages-3")
        os.utime(cache / "packages-3", (LONG_AGO - 1, LONG_AGO - 1))  # as if it had run for days
        make("python-new")
        assert "packages-3" in names(cache)
        assert len(names(cache)) == NEWEST + 1
        other.communicate()
    make("python-newer")
    assert "packages-3" not in names(cache)


def test_who_waits_for_what_is_being_removed_makes_it_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removed between finding it and locking it, by another process."""
    old(cache, "python-1")
    lock = fcntl.flock
    removed = threading.Event()

    def too_late(descriptor: int, how: int) -> None:
        if not removed.is_set():
            removed.set()
            (cache / "python-1").rename(cache / "aside")
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", too_late)

    assert (make("python-1") / "pyvenv.cfg").read_text() == "home"
    assert removed.is_set()


def test_what_killed_processes_have_left_half_made_goes_too(cache: Path) -> None:
    old(cache, ".building-x", ".removing-y")
    (cache / ".building-now").mkdir()

    make("python-1")

    assert names(cache) == {"python-1", ".building-now"}


def test_without_locks_nothing_is_removed_and_all_is_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unknown)
    old(cache, *(f"packages-{n}" for n in range(NEWEST + 7)))

    assert make("python-1") == cache / "python-1"
    assert taken("packages-0") == cache / "packages-0"
    assert len(names(cache)) == NEWEST + 8


def test_where_nothing_may_be_kept_nothing_is_left(tmp_path: Path) -> None:
    """A fork that ends in the ordinary way takes nothing of its parent's along."""
    code = """
import os
from task_kit.sandbox import kept_folders
folder = kept_folders.cache_folder()
if not os.fork():
    raise SystemExit
os.wait()
print(folder, folder.exists())
"""
    (tmp_path / "file").touch()
    env = {"XDG_CACHE_HOME": str(tmp_path / "file"), "TMPDIR": str(tmp_path), "PYTHONPATH": ROOT}

    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)

    folder, was_there = done.stdout.split()
    assert Path(folder).parent == tmp_path
    assert was_there == "True"
    assert not Path(folder).exists()


def test_a_cache_that_others_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "task-kit-sandbox").mkdir()
    (tmp_path / "task-kit-sandbox").chmod(0o777)
    kept_folders.cache_folder.cache_clear()
    try:
        with pytest.raises(SandboxError, match="a folder that only you can write to"):
            kept_folders.cache_folder()
    finally:
        kept_folders.cache_folder.cache_clear()
