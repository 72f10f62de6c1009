from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.errors import StorageError
from profiler.storage.line_file import LineFile, end_of_line
from tests.profiler.building import files_end_at

LINES = st.lists(st.binary(max_size=12).map(lambda text: text.replace(b"\n", b" ") + b"\n"), min_size=1, max_size=8)


def fitting(lines: list[bytes], room: int) -> bytes:
    kept = b""
    for line in lines:
        if len(kept) + len(line) > room:
            break
        kept += line
    return kept


def test_blocks_stand_one_behind_the_other(tmp_path: Path) -> None:
    with LineFile(tmp_path / "log") as file:
        file.write(b"a\nb\n")
        file.write(b"c\n")
        assert file.size == 6
    assert (tmp_path / "log").read_bytes() == b"a\nb\nc\n"


def test_an_existing_file_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\n")
    with LineFile(tmp_path / "log") as file:
        assert file.size == 2
        file.write(b"b\n")
    assert (tmp_path / "log").read_bytes() == b"a\nb\n"


@settings(max_examples=60, deadline=None)
@given(before=LINES, lines=LINES, room=st.integers(min_value=0, max_value=120))
def test_a_full_disk_leaves_whole_lines_only(before: list[bytes], lines: list[bytes], room: int) -> None:
    start = b"".join(before)
    with tempfile.TemporaryDirectory() as folder, LineFile(Path(folder) / "log") as file:
        file.write(start)
        if room >= sum(map(len, lines)):
            room = sum(map(len, lines)) - 1
        with files_end_at(len(start) + room), pytest.raises(StorageError, match="File too large") as caught:
            file.write(b"".join(lines))
        left = file.path.read_bytes()
        assert left == start + fitting(lines, room)
        assert file.size == len(left)
        assert "run the same command again" in str(caught.value.hint)
        file.write(b"again\n")
        assert file.path.read_bytes() == left + b"again\n"


def test_a_disk_that_takes_little_at_once_gets_it_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def takes_three(fd: int, block: bytes) -> int:
        calls.append(len(block))
        return really_write(fd, block[:3])

    really_write = os.write
    with LineFile(tmp_path / "log") as file:
        monkeypatch.setattr(os, "write", takes_three)
        file.write(b"0123456\n")
        monkeypatch.undo()
        assert file.size == 8
    assert (tmp_path / "log").read_bytes() == b"0123456\n"
    assert calls == [8, 5, 2]


def test_a_file_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"missing/log: cannot write: No such file or directory"):
        LineFile(tmp_path / "missing" / "log")


def test_a_failing_sync_is_a_storage_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with LineFile(tmp_path / "pipe") as file, pytest.raises(StorageError, match="Invalid argument"):
        file.sync()


def test_sync_does_without_fdatasync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.delattr(os, "fdatasync", raising=False)
    monkeypatch.setattr(os, "fsync", synced.append)
    with LineFile(tmp_path / "log") as file:
        file.sync()
        assert synced == [file.fd]


def test_a_closed_file_holds_no_descriptor(tmp_path: Path) -> None:
    with LineFile(tmp_path / "log") as file:
        pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file.fd)


@settings(max_examples=60, deadline=None)
@given(lines=st.lists(st.binary(max_size=9)))
def test_the_end_of_a_line_is_found_by_its_number(lines: list[bytes]) -> None:
    whole = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(whole)
        for number in range(len(lines) + 1):
            assert path.read_bytes()[: end_of_line(path, number)].count(b"\n") == number
