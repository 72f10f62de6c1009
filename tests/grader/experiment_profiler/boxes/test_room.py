"""What was reserved for a box to be laid out is nobody else's."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from grader.experiment_profiler.boxes import room

if TYPE_CHECKING:
    from pathlib import Path


def test_nobody_reserves_while_another_lays_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one has given back the part in which it lays out, and has not written there yet."""
    asking = threading.Event()
    laid_out: list[str] = []

    def takes(descriptor: int, size: int) -> bool:
        assert laid_out in ([], ["first"])
        return True

    def first() -> None:
        second.start()
        asking.wait(10)
        second.join(0.05)  # long enough for one that does not wait
        laid_out.append("first")

    def other() -> None:
        asking.set()
        room.keep(tmp_path, disk_bytes=1 << 20, lay_out=lambda: laid_out.append("second"))

    monkeypatch.setattr(room, "PLENTY", 1 << 62)
    monkeypatch.setattr(room, "_takes", takes)
    second = threading.Thread(target=other)
    room.keep(tmp_path, disk_bytes=1 << 20, lay_out=first)
    second.join()

    assert laid_out == ["first", "second"]


def test_what_cannot_be_laid_out_keeps_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room, "PLENTY", 1 << 62)
    with pytest.raises(OSError, match="No space left"):
        room.keep(tmp_path, disk_bytes=1 << 20, lay_out=full)

    assert list(tmp_path.iterdir()) == []
