from __future__ import annotations

import os
from pathlib import Path

import pytest

from profiler.core.errors import StorageError
from profiler.storage.whole_file import draft_of, drafted, remove, sync_folder, write_whole
from tests.profiler.storage.directories import files_open_in


def test_a_file_is_replaced_whole_and_its_name_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    events: list[str] = []

    def fsync(fd: int) -> None:
        synced = Path(f"/proc/self/fd/{fd}").readlink()
        events.append(f"sync {synced.name}, {path.read_bytes().decode()} stands there")

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(path, b"new")
    assert events == [
        f"sync {draft_of(path).name}, old stands there",
        f"sync {tmp_path.name}, new stands there",
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if call == "fsync" else Path, call, full)
    with pytest.raises(StorageError, match="file: cannot write: No space"):
        write_whole(path, b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_where_no_draft_can_be_the_file_that_was_asked_for_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    wanted = tmp_path / "file" / "x.csv"
    with pytest.raises(StorageError) as told, drafted(wanted):
        raise AssertionError("nothing can be written there")
    assert str(told.value) == f"{wanted}: cannot write: Not a directory"
    assert told.value.hint == "fix that, then run the same command again"
    assert (tmp_path / "file").read_bytes() == b"old"


def test_what_is_not_there_is_removed_already_and_what_cannot_go_is_told(tmp_path: Path) -> None:
    remove(tmp_path / "nothing")
    with pytest.raises(StorageError, match="cannot write"):
        remove(tmp_path)


def test_a_folder_that_cannot_be_opened_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        sync_folder(tmp_path / "nowhere")


def test_a_folder_is_synced_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []

    def fsync(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink())
        really_fsync(fd)

    really_fsync = os.fsync
    monkeypatch.setattr(os, "fsync", fsync)
    sync_folder(tmp_path)
    assert synced == [tmp_path]
    assert not files_open_in(tmp_path)
