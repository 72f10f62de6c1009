from __future__ import annotations

import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from task_kit.sandbox.probes import running

from .running import LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from task_kit.sandbox import Level


@pytest.fixture(params=LEVELS, ids=lambda level: level.label)
def level(request: pytest.FixtureRequest) -> Level:
    found: Level = request.param
    return found


@pytest.fixture
def token() -> Iterator[str]:
    """An argument that nobody else has; whoever still has it after the test was left behind."""
    mark = "mark-" + secrets.token_hex(8)
    yield mark
    assert running(mark) == []


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def no_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Boxes make their own folders here, and take them away."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield
    with suppress(FileNotFoundError):
        assert list(temporary.iterdir()) == []
