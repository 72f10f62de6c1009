"""Verdicts do not depend on who else computes: the same alone, and 64 at once beside loops that never rest."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from grader.cli.run_actions import keep_quiet
from grader.leakage_modeling.grading.runs import Plan, play_all
from task_kit.leakage_modeling.worker.limits import cores
from task_kit.leakage_modeling.worlds.settings import Settings
from tests.nurseries import shared_nursery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from grader.leakage_modeling.grading.folder import EpisodeResult

EPISODES, ALONE = 64, 4


async def played(output: Path, *, runs: int, at_once: int) -> dict[str, EpisodeResult]:
    settings = Settings(
        difficulty=0,
        train_rows=300,
        hidden_rows=1000,
        test_rows=50,
        max_regret=0.5,  # what 300 rows allow in every world
        num_runs=runs,
        concurrency=at_once,
    )
    report = await play_all(
        Plan(mode="agent", settings=settings, seed="load", variants=("honest", "leaking")),
        nursery=shared_nursery(),
        isolation="here",
        output=output,
        environ={},
        tell=keep_quiet,
    )
    return {result.episode: result for result in report.results}


@contextmanager
def busy_loops(number: int) -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@pytest.mark.long
async def test_verdicts_are_the_same_alone_and_64_at_once_beside_busy_loops(tmp_path: Path) -> None:
    alone = await played(tmp_path / "alone", runs=ALONE, at_once=1)
    with busy_loops(2 * cores()):
        together = await played(tmp_path / "together", runs=EPISODES, at_once=EPISODES)

    assert {name: together[name] for name in alone} == alone
    found = {(result.agent, result.status) for result in together.values()}
    assert found == {("honest", "pass"), ("leaking", "fail")}
    assert {result.reason for result in together.values() if result.agent == "leaking"} == {"score"}
