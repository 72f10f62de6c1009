"""Plays episodes of scripted agents, and makes only the calls of their workers, for the scenario `episodes`.

It is a module of its own because importing pandas would distort what other scenarios measure.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import numpy as np

from benchmarks.figure import alternate
from grader.leakage_modeling.grading.episodes import world_of
from grader.leakage_modeling.grading.runs import Plan, play_all, seed_of
from grader.leakage_modeling.judging.evaluate import SEALED
from grader.leakage_modeling.judging.questions import make_questions
from task_kit.leakage_modeling.agents.policies import CAREFUL, PIPELINE, PROBABILITIES
from task_kit.leakage_modeling.agents.scripted import LOOK
from task_kit.leakage_modeling.worker.nursery import open_nursery
from task_kit.leakage_modeling.worker.worker import Workers
from task_kit.leakage_modeling.worlds.settings import Settings
from task_kit.leakage_modeling.worlds.world import make_world

if TYPE_CHECKING:
    import pandas as pd

    from task_kit.leakage_modeling.worlds.world import World
    from task_kit.sandbox import Zygote

SEED = "benchmark"


def both_ways(*, count: int, runs: int) -> list[list[float]]:
    """Episodes a second: played, and as the bare calls of their workers, in turn."""
    settings = Settings(num_runs=count, concurrency=count)
    worlds = [make_world(seed_of(SEED, index), settings) for index in range(count)]
    asked = [_asked(world, index) for index, world in enumerate(worlds)]
    with open_nursery() as nursery, tempfile.TemporaryDirectory() as folder:
        played, worked = alternate(
            runs, partial(_episodes, nursery, settings, Path(folder)), partial(_workers, nursery, worlds, asked)
        )
    return [list(played), list(worked)]


def _episodes(nursery: Zygote, settings: Settings, folder: Path) -> float:
    # each round must make its worlds again
    world_of.cache_clear()
    with tempfile.TemporaryDirectory(dir=folder) as home:
        began = time.monotonic()
        report = anyio.run(
            lambda: play_all(
                Plan(mode="agent", settings=settings, seed=SEED, variants=("honest",)),
                nursery=nursery,
                isolation=nursery.level.label,
                output=Path(home) / "run",
                environ={},
                tell=lambda result: None,
            )
        )
        took = time.monotonic() - began
    if [result.status for result in report.results].count("error"):
        raise RuntimeError(f"found episodes without a verdict, expected none: {report.results}")
    return len(report.results) / took


def _workers(nursery: Zygote, worlds: list[World], asked: list[list[pd.DataFrame]]) -> float:
    began = time.monotonic()
    with ThreadPoolExecutor(max_workers=len(worlds)) as threads:
        list(threads.map(partial(_work, Workers(nursery)), worlds, asked))
    return len(worlds) / (time.monotonic() - began)


def _work(workers: Workers, world: World, asked: list[pd.DataFrame]) -> None:
    """The calls that an honest agent makes to its worker."""
    worker = workers.start(world)
    worker.run(LOOK)
    worker.run(CAREFUL.code(world))
    worker.value(PROBABILITIES)
    worker.check_pipeline(PIPELINE)
    worker.fit_predict(PIPELINE, frames=asked)
    worker.close()


def _asked(world: World, index: int) -> list[pd.DataFrame]:
    return make_questions(world, np.random.default_rng([seed_of(SEED, index), SEALED]), leaky_view=False).asked
