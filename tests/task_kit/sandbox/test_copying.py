from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from task_kit.sandbox import copying

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def copied(source: Path, target: Path, *, limit: int = 1 << 20) -> copying.Copy:
    copy = copying.Copy(limit=limit)
    folders = [os.open(folder, copying.FOLDER) for folder in (source, target)]
    copy.folder(folders[0], folders[1], depth=0)
    for folder in folders:
        os.close(folder)
    return copy


def test_files_and_folders_are_copied(source: Path, target: Path) -> None:
    (source / "folder").mkdir()
    (source / "folder" / "file").write_bytes(b"content")
    (source / "folder" / "file").chmod(0o4755)

    assert not copied(source, target).full

    assert (target / "folder" / "file").read_bytes() == b"content"
    assert (target / "folder" / "file").stat().st_mode & 0o7777 == 0o700


def test_what_a_link_leads_to_is_not_copied(source: Path, target: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (source / "link").symlink_to(tmp_path / "secret")
    (source / "folder").symlink_to(tmp_path)

    copied(source, target)

    assert [path.is_symlink() for path in sorted(target.iterdir())] == [True, True]


def test_sockets_are_left_out_and_pipes_are_not_opened(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source)
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")

        copied(source, target)

    assert [path.name for path in target.iterdir()] == ["pipe"]


def test_what_does_not_fit_is_left_out_and_told(source: Path, target: Path) -> None:
    (source / "a").write_bytes(b"x" * 600)
    (source / "b").write_bytes(b"x" * 600)

    assert copied(source, target, limit=1000).full
    assert [path.name for path in target.iterdir()] == ["a"]


def test_a_sparse_file_counts_with_all_its_length(source: Path, target: Path) -> None:
    with (source / "sparse").open("wb") as file:
        file.truncate(1 << 40)

    assert copied(source, target).full
    assert list(target.iterdir()) == []


def test_what_lies_too_deep_is_removed(source: Path) -> None:
    deepest = source
    for _ in range(copying.DEPTH + 5):
        deepest /= "d"
    deepest.mkdir(parents=True)
    folder = os.open(source, copying.FOLDER)

    assert copying.prune(folder)
    assert not copying.prune(folder)

    os.close(folder)
    assert sum(1 for _ in os.walk(source)) == copying.DEPTH + 1


def test_a_folder_is_emptied_whatever_is_in_it(source: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept", encoding="utf-8")
    (source / "link").symlink_to(tmp_path)
    (source / "closed").mkdir()
    (source / "closed" / "file").touch()
    (source / "closed").chmod(0)

    copying.remove(str(source))

    assert not source.exists()
    assert (tmp_path / "kept").read_text(encoding="utf-8") == "kept"


def test_what_lies_too_deep_is_found_behind_closed_folders(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "DEPTH", 1)
    (source / "a" / "b" / "c").mkdir(parents=True)
    (source / "a").chmod(0o400)
    folder = os.open(source, copying.FOLDER)

    assert copying.prune(folder)

    os.close(folder)
    assert sorted(path.name for path in source.rglob("*")) == ["a"]
