"""What an agent is told: the data dictionary of a world, and the prompt around it.

Comes in: a world and the settings. Goes out: text. Says nothing that is not in the frames, in the rules of grading, or known to
whoever keeps the records.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

from pandas.api.types import is_integer_dtype, is_numeric_dtype

from task_kit.leakage_modeling.worlds.columns import TARGET

if TYPE_CHECKING:
    from pandas._typing import DtypeObj

    from task_kit.leakage_modeling.worlds.settings import Settings
    from task_kit.leakage_modeling.worlds.world import World


def dictionary_text(world: World) -> str:
    """A table of all columns in the order of `train_df`, as Markdown."""
    lines = ["| column | type | meaning |", "|---|---|---|"]
    for name, kind in world.train.dtypes.items():
        says = f"{world.outcome}: 0 or 1, in `train_df` only" if name == TARGET else _meaning(world, str(name))
        lines.append(f"| `{name}` | {_type(kind)} | {says} |")
    return "\n".join(lines)


def prompt_text(world: World, settings: Settings) -> str:
    """The prompt of one episode, whole."""
    return _template().substitute(
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


def _type(kind: DtypeObj) -> str:
    if not is_numeric_dtype(kind):
        return "text"
    return "whole number" if is_integer_dtype(kind) else "number"


@cache
def _template() -> Template:
    """The same for all the episodes of a run."""
    return Template(resources.files(__package__).joinpath("prompt.md").read_text(encoding="utf-8"))
