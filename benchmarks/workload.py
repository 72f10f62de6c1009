"""The work that is measured: dialogues of about 250 bytes, and a mock run over them by `profiler.run`."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from benchmarks.clients import Watched
from profiler.dataset import file as dataset
from profiler.engine.options import Options
from profiler.engine.runner import run_sync
from profiler.manifest.settings import Experiment, Latency, MockSettings, Retry
from profiler.provider.mock import MockClient

if TYPE_CHECKING:
    from benchmarks.figure import Scale
    from profiler.provider.client import Client

EXPERIMENT_ID = "bench"
MODEL = "claude-haiku-4-5"
MAX_TOKENS = 256
LONGEST_S = 3600.0  # longer than any benchmark, so that no deadline ends what is meant to stall


def dialogue_id(number: int) -> str:
    return f"dialogue-{number:07}"


def dialogue(number: int) -> bytes:
    """One line of a dataset."""
    row = {
        "dialogue_id": dialogue_id(number),
        "system": "You are a careful assistant. Answer in one short paragraph.",
        "user": f"Question {number}: what is the capital of country {number % 193}, and which river runs through it?",
        "required_facts": [f"capital {number % 193}", f"river {number % 97}"],
    }
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def dialogues(scale: Scale, count: int) -> Path:
    """A JSONL file of `count` dialogues, written when it is first asked for."""
    path = scale.folder / f"dialogues-{count}.jsonl"
    if not path.exists():
        with path.open("wb") as file:
            file.writelines(map(dialogue, range(count)))
    return path


def experiment(path: str | Path, *, concurrency: int = 32, median_s: float = 0.0, sigma: float = 0.0) -> Experiment:
    return Experiment(
        experiment_id=EXPERIMENT_ID,
        model=MODEL,
        max_tokens=MAX_TOKENS,
        dataset_path=Path(path),
        concurrency=concurrency,
        timeout_s=LONGEST_S,
        retry=Retry(deadline_s=LONGEST_S),
        mock=MockSettings(latency_s=Latency(median_s=median_s, sigma=sigma)),
    )


def run_seconds(asked: Experiment, *, output_dir: str | Path, client: Client | None = None) -> float:
    """The time of one whole run, from the survey of the dataset to the summary."""
    gc.collect()
    begun = time.perf_counter()
    run_sync(asked, options=Options(output_dir=Path(output_dir), mode="mock"), client=client)
    return time.perf_counter() - begun


def finished_run(*, dataset: str, output_dir: str) -> float:
    """The time of a run at zero latency with full logs and metrics."""
    return run_seconds(experiment(dataset), output_dir=output_dir)


def watched_run(asked: Experiment, *, output_dir: str | Path, stall: bool = False) -> Watched:
    """The same run, watched by its client."""
    count = dataset.survey(asked.dataset_path).count
    watched = Watched(MockClient(asked.mock), count=count, stall=stall)
    run_seconds(asked, output_dir=output_dir, client=watched)
    return watched
