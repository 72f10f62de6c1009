from __future__ import annotations

import pytest

from profiler.core.errors import CallError
from profiler.engine import results
from profiler.engine.job import Attempts, Job
from profiler.engine.results import Results, micro
from profiler.provider.requests import Planner
from tests.profiler.building import PARAMS, dialogue
from tests.profiler.engine.test_pool import Clock, Kept


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0, 0.0), (0.1234564, 0.123456), (0.1234567, 0.123457), (86_400.0000004, 86_400.0)]
)
def test_times_are_rounded_to_whole_microseconds(seconds: float, expected: float) -> None:
    assert micro(seconds) == expected


async def test_a_dialogue_whose_end_is_held_back_waited_until_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, kept = Clock(), Kept()
    monkeypatch.setattr(results, "time", clock)
    held = Results(kept, timed=True)  # type: ignore[arg-type]
    job = Job(Planner(PARAMS).request(0, dialogue()), clock.now, Attempts(client_s=1.0), None)

    clock.now += 4.0
    held.hold(job, CallError("connection", "refused", sent=False))
    clock.now += 10.0
    held.release()

    assert [(record.type, record.queue_s) for record in kept.records] == [("error", 3.0)]
    assert held.failures == {"connection": 1}
