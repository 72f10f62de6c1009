from __future__ import annotations

from pathlib import Path

import pytest

from profiler.core import json as codec
from profiler.manifest.load import Experiment, load_manifest
from profiler.storage.identity import snapshot

BASE = "experiment_id: one\nmodel: claude-haiku-4-5\nmax_tokens: 16\ndataset_path: data.json\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one(text: str) -> Experiment:
    Path("m.yaml").write_text(text)
    [experiment] = load_manifest("m.yaml", environ={}).experiments
    return experiment


def test_a_snapshot_survives_json() -> None:
    taken = snapshot(one(BASE + "temperature: 1\nstop_sequences: [a]\n"))
    assert codec.loads(codec.dumps(taken)) == taken


@pytest.mark.parametrize("line", ["top_k: 3", "system: x", "mock: {seed: 1}", "thinking: {type: x}", "client: a:b"])
def test_a_snapshot_tells_what_changes_answers(line: str) -> None:
    assert snapshot(one(BASE + line + "\n")) != snapshot(one(BASE))


@pytest.mark.parametrize(
    "line",
    [
        "concurrency: 3",
        "timeout_s: 3",
        "retry: {max_attempts: 1}",
        "max_cost_usd: 1",
        "rate_limits: {requests_per_minute: 1}",
        "metrics: [refusal_rate]",
        "thresholds: {refusal_rate: 1}",
        "mock: {responses_path: data.json}",
    ],
)
def test_a_snapshot_is_silent_on_what_does_not(line: str) -> None:
    assert snapshot(one(BASE + line + "\n")) == snapshot(one(BASE))
