"""What an agent is told: the data dictionary of a world, and the prompt around it.

Comes in: a world and the settings. Goes out: text. Says nothing that is not in the frames, in the rules of grading, or known to
whoever keeps the records.
"""

from __future__ import annotations

from importlib import resources
from string import Template
from typing import TYPE_CHECKING

from pandas.api.types import is_integer_dtype, is_numeric_dtype

from task_kit.leakage_modeling.columns import TARGET

if TYPE_CHECKING:
    import pandas as pd

    from task_kit.leakage_modeling.settings import Settings
    from task_kit.leakage_modeling.world import World


def dictionary_text(world: World) -> str:
    """A table of all columns in the order of `train_df`, as Markdown."""
    lines = ["| column | type | meaning |", "|---|---|---|"]
    for name in world.train.columns:
        says = f"{world.outcome}: 0 or 1, in `train_df` only" if name == TARGET else _meaning(world, str(name))
        lines.append(f"| `{name}` | {_type(world.train[name])} | {says} |")
    return "\n".join(lines)


def prompt_text(world: World, settings: Settings) -> str:
    """The prompt of one episode, whole."""
    template = Template(resources.files(__package__).joinpath("prompt.md").read_text(encoding="utf-8"))
    return template.substitute(
        dictionary=dictionary_text(world),
        train_rows=f"{settings.train_rows:,}",
        test_rows=f"{settings.test_rows:,}",
        hidden_rows=f"{settings.hidden_rows:,}",
        max_steps=settings.max_steps,
        max_stdout_chars=f"{settings.max_stdout_chars:,}",
        regret_limit=f"{settings.regret_limit:g}",
        miscalibration_limit=f"{settings.max_miscalibration:g}",
    )


def _meaning(world: World, name: str) -> str:
    columns, recording = world.columns, world.recording
    if recording.cents is not None and name == columns.numeric[recording.cents]:
        return f"{columns.meaning[name]}; written down in cents where `{columns.month}` is below {recording.euros_from}"
    return columns.meaning[name]


def _type(values: pd.Series) -> str:
    if not is_numeric_dtype(values):
        return "text"
    return "whole number" if is_integer_dtype(values) else "number"
