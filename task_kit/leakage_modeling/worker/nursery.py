"""Opens the nursery: a process that has imported the libraries, and is forked for each worker into a box of its own."""

from __future__ import annotations

from typing import Final

from task_kit.sandbox import Level, Limits, Zygote

ENTRY: Final = "task_kit.leakage_modeling.worker.inside:serve"
PRELOAD: Final = (
    *("numpy", "pandas", "scipy.special", "scipy.stats", "scipy.optimize", "scipy.sparse"),
    *("sklearn.calibration", "sklearn.compose", "sklearn.dummy", "sklearn.ensemble", "sklearn.feature_selection"),
    *("sklearn.impute", "sklearn.inspection", "sklearn.linear_model", "sklearn.metrics", "sklearn.model_selection"),
    *("sklearn.naive_bayes", "sklearn.neighbors", "sklearn.pipeline", "sklearn.preprocessing", "sklearn.svm"),
    *("sklearn.tree", "joblib", "cloudpickle"),
)
# A worker lives as long as its episode, which may wait for a model for hours; each call has a limit of its own.
LIMITS: Final = Limits(wall_s=24 * 3600.0, cpu_s=3600.0, memory_bytes=2 << 30)


def open_nursery(*, level: Level | None = None) -> Zygote:
    """Takes a second. Raises `SandboxError` when the machine does not offer the level."""
    return Zygote(preload=PRELOAD, entry=ENTRY, limits=LIMITS, level=level)
