from __future__ import annotations

import os
from pathlib import Path

import pytest

from profiler.core.errors import LogError, StorageError
from profiler.storage import summary_file

SUMMARY = {"metrics": {}, "counts": {"total": 1}, "run": {"mode": "mock"}}


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    summary_file.write(tmp_path / "summary.json", {"old": True})
    summary_file.write(tmp_path / "summary.json", SUMMARY)
    assert summary_file.read(tmp_path) == SUMMARY
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_summary_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    summary_file.write(tmp_path / "summary.json", {"old": True})
    before = (tmp_path / "summary.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if call == "fsync" else Path, call, full)
    with pytest.raises(StorageError, match=r"summary.json: cannot write: No space"):
        summary_file.write(tmp_path / "summary.json", {"new": True})
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    assert (tmp_path / "summary.json").read_bytes() == before


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        summary_file.write(tmp_path / "no" / "summary.json", {})


@pytest.mark.parametrize("data", [None, b"", b"\xff", b"[]", b"{}", b'{"metrics": 1}', b"[" * 100_000])
def test_a_missing_or_damaged_summary_says_how_to_make_it_again(tmp_path: Path, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / "summary.json").write_bytes(data)
    with pytest.raises(LogError, match="profiler summarize --recompute"):
        summary_file.read(tmp_path)
