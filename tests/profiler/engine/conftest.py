"""The experiment that tests of runs begin with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from profiler.manifest.settings import Experiment
from tests.profiler.engine.running import COUNT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    path = tmp_path / "dialogues.jsonl"
    lines = [
        {
            "dialogue_id": f"d{index}",
            "user": f"question {index}",
            "required_facts": ["fact"],
            "tags": ["even"][index % 2 :],
        }
        for index in range(COUNT)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return Experiment(experiment_id="exp", model="m", max_tokens=64, dataset_path=path, concurrency=4)
