from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from profiler.core.errors import CallError
from profiler.engine.calls import records
from profiler.engine.calls.job import Attempts, Job
from profiler.engine.calls.records import Records, micro
from profiler.engine.calls.run_clock import RunClock
from profiler.engine.options import Options
from profiler.engine.runner import run
from profiler.manifest.settings import Experiment
from profiler.provider.requests import Planner
from tests.profiler.building import PARAMS, dialogue
from tests.profiler.engine.calls.bench import Clock, Kept
from tests.profiler.provider.loopback import KEY, MESSAGE, error, http, serving

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, 0.0), (0.1234564, 0.123456), (0.1234567, 0.123457), (86_400.0000004, 86_400.0), (1e9, 1e9)],
)
def test_times_are_rounded_to_whole_microseconds(seconds: float, expected: float) -> None:
    assert micro(seconds) == expected


async def test_a_dialogue_whose_end_is_held_back_waited_until_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, kept = Clock(), Kept()
    monkeypatch.setattr(records, "time", clock)
    held = Records(kept, clock=RunClock(first_call=clock.now - 1.0))  # type: ignore[arg-type]
    job = Job(Planner(PARAMS).request(0, dialogue()), clock.now, Attempts(client_s=1.0), None)

    clock.now += 4.0
    held.hold(job, CallError("connection", "refused", sent=False))
    clock.now += 10.0
    held.release()

    assert [(record.type, record.queue_s, record.at_s) for record in kept.records] == [("error", 3.0, 5.0)]
    assert held.failures == {"connection": 1}


async def test_where_the_time_of_a_dialogue_went_adds_up_to_its_wall_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"dialogue_id": "d", "turns": ["one", "two", "three"]}))
    replies = [
        *(http(200, MESSAGE), error(500), error(500), http(200, MESSAGE)),
        *(error(429, retry_after="0.4"), http(200, MESSAGE)),
    ]
    async with serving(lambda _: replies[len(server.asked) - 1]) as server:
        asked = Experiment(
            experiment_id="e", model="claude-haiku-4-5", max_tokens=64, dataset_path=path, base_url=server.url
        )
        found = await run(asked, options=Options(output_dir=tmp_path, mode="live"))
    line = json.loads((found.folder / "responses.jsonl").read_text())

    assert len(server.asked) == len(replies)
    assert line["held_s"] >= 0.4
    assert line["between_s"] >= 0.25 + 0.5  # the least that two tries wait
    in_line = line["queue_s"] - line["held_s"] - line["between_s"]
    assert 0 <= in_line < 0.1 * line["at_s"]
    assert line["latency_s"] + line["queue_s"] == pytest.approx(line["at_s"], rel=0.01)
