"""What tests of calls do to waits and clocks."""

from __future__ import annotations

import pytest

from profiler.engine.calls import attempt, deadlines, records, unbegun
from profiler.engine.calls import pool as pool_module
from tests.profiler.engine.calls.bench import Clock


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come due at once, but still go the way of those that wait."""
    monkeypatch.setattr(attempt, "FIRST_WAIT_S", 1e-9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (attempt, unbegun, deadlines, pool_module, records):
        monkeypatch.setattr(module, "time", clock)
    return clock
