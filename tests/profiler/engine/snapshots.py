"""A look at a run that is under way, for tests of what shows it."""

from __future__ import annotations

from typing import Any

from profiler.engine.progress import Snapshot


def snapshot(**fields: Any) -> Snapshot:
    usual: dict[str, Any] = {
        "experiment_id": "demo",
        "mode": "mock",
        "total": 2000,
        "done": 500,
        "rate": 1234.5,
        "eta_s": 75.0,
        "in_flight": 4,
        "slots": 32,
        "backing_off": 0,
        "retried": 0,
        "failures": {},
        "stopping": False,
        "held_up_by": None,
    }
    return Snapshot(**{**usual, **fields})
