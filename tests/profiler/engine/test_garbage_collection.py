from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING

import pytest

from profiler.core.nouns import Reply
from profiler.engine.garbage_collection import YOUNG_OBJECTS, made_rare
from profiler.engine.options import Options
from profiler.engine.runner import run
from profiler.manifest.settings import Experiment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from profiler.core.nouns import Request

FOUND, SPARED = (700, 11, 12), (YOUNG_OBJECTS, 11, 12)


@pytest.fixture(autouse=True)
def _thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*FOUND)
    yield
    gc.set_threshold(*before)


async def test_a_run_looks_for_cycles_rarely_and_leaves_the_thresholds_as_they_were(tmp_path: Path) -> None:
    seen = []

    class Client:
        async def complete(self, request: Request) -> Reply:
            seen.append(gc.get_threshold())
            return Reply(completion="yes", stop_reason="end_turn", model="m", usage={})

    dataset = tmp_path / "dialogues.jsonl"
    dataset.write_text(json.dumps({"dialogue_id": "a", "user": "well?"}))
    experiment = Experiment(experiment_id="e", model="m", max_tokens=9, dataset_path=dataset)
    await run(experiment, options=Options(output_dir=tmp_path, mode="mock"), client=Client())
    assert seen == [SPARED]
    assert gc.get_threshold() == FOUND


def test_of_runs_that_overlap_the_last_one_puts_the_thresholds_back() -> None:
    first, second = made_rare(), made_rare()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold() == SPARED
    second.__exit__(None, None, None)
    assert gc.get_threshold() == FOUND


@pytest.mark.parametrize("young", [0, 2 * YOUNG_OBJECTS])
def test_who_collects_less_than_that_is_left_alone(young: int) -> None:
    gc.set_threshold(young, 11, 12)
    with made_rare():
        assert gc.get_threshold() == (young, 11, 12)
