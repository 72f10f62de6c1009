"""No test of this task finds a key of the user, unless it sets one."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
