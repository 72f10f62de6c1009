"""Stages the task into a folder, with the reference instead of the starter if a test asks for it, and runs programs
there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from task_kit.stage import stage
from task_kit.task import TASKS

TASK = Path(__file__).resolve().parents[2] / "task_kit" / "experiment_profiler"
REFERENCE = TASK / "reference_submission" / "experiment_profiler"
STARTER = TASK / "starter" / "experiment_profiler"
SAMPLE = "configs/sample_experiment.yaml"


def staged(folder: Path, *, submission: Path | None = None) -> Path:
    stage(TASKS["experiment_profiler"], folder)
    if submission is not None:
        shutil.copytree(submission, folder / "experiment_profiler", dirs_exist_ok=True)
    return folder


def python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python without any API key of whoever runs the tests, so that nothing can go live by mistake."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "SYSTEMROOT"}}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=kept | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
