"""The folder in which tests of manifests write theirs."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    return tmp_path
