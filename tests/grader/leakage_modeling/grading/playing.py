"""Quick runs of scripted agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grader.cli.run_actions import keep_quiet
from grader.leakage_modeling.grading.runs import Plan, Report, play_all
from task_kit.leakage_modeling.worlds.settings import Settings
from tests.nurseries import shared_nursery

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from grader.leakage_modeling.grading.folder import EpisodeResult


QUICK = Settings(difficulty=0, train_rows=300, hidden_rows=1000, num_runs=1, concurrency=6)


async def played(
    output: Path, plan: Plan, *, resume: bool = False, tell: Callable[[EpisodeResult], None] = keep_quiet
) -> Report:
    return await play_all(
        plan, nursery=shared_nursery(), isolation="here", output=output, environ={}, tell=tell, resume=resume
    )


WORDS = ("--mode", "agent", "--scripted", "--concurrency", "5", "--difficulty", "0")
