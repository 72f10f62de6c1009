"""The shell in which tests of commands call them."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.profiler.cli.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    thresholds = gc.get_threshold()
    yield Shell(capsys, tmp_path / "runs")
    gc.set_threshold(*thresholds)
