"""What an agent is told: the story of a world, its data dictionary, and the prompt around them.

It says nothing that is not in the frames, in the rules of grading, or known to whoever keeps the records.
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


def story_text(world: World) -> str:
    """What happens to a case and when, and when the prediction is made. The classic task has no story."""
    family, timeline = world.told.family, world.told.timeline
    if family is None or timeline is None:
        return ""
    lines = [f"Every row is one {family.case}. What happens to each {family.case}, in this order:", ""]
    for place, (event, day) in enumerate(zip(timeline.events, timeline.days, strict=True)):
        lines.append(f"- **{event.noun}**: {event.clause}, {_when(world, place, day)}")
    settled = f"`target` says {world.told.outcome}; that is settled after the last of these days."
    lines += ["", f"{settled} The prediction is made {timeline.prediction.words}."]
    return "\n".join(lines)


def dictionary_text(world: World) -> str:
    """A Markdown table of all columns, in the order of `train_df`."""
    lines = ["| column | type | meaning |", "|---|---|---|"]
    for name, kind in world.train.dtypes.items():
        says = f"{world.told.outcome}: 0 or 1, in `train_df` only" if name == TARGET else _meaning(world, str(name))
        lines.append(f"| `{name}` | {_type(kind)} | {says} |")
    return "\n".join(lines)


def told_text(world: World) -> str:
    """Story and dictionary: the part of a prompt that differs from world to world."""
    return f"{story_text(world)}\n\n{dictionary_text(world)}\n"


def prompt_text(world: World, settings: Settings) -> str:
    """The whole prompt of an episode."""
    story = story_text(world)
    return _template().substitute(
        story=f"\n## The story\n\n{story}\n" if story else "",
        dictionary=dictionary_text(world),
        train_rows=f"{settings.train_rows:,}",
        test_rows=f"{settings.test_rows:,}",
        hidden_rows=f"{settings.hidden_rows:,}",
        max_steps=settings.max_steps,
        max_stdout_chars=f"{settings.max_stdout_chars:,}",
        regret_limit=f"{settings.regret_limit:g}",
        miscalibration_limit=f"{settings.max_miscalibration:g}",
    )


def _when(world: World, place: int, day: int) -> str:
    """The day of an event; at some difficulties counted from the event before."""
    timeline = world.told.timeline
    if timeline is None or place == 0:
        return "on day 0"
    since = day - timeline.days[place - 1]
    days = "1 day" if since == 1 else f"{since} days"
    return f"on day {day}" if world.told.absolute else f"{days} after {timeline.events[place - 1].noun}"


def _meaning(world: World, name: str) -> str:
    columns, recording = world.columns, world.recording
    if recording.cents is not None and name == columns.numeric[recording.cents]:
        first = recording.euros_from
        forms = (
            f"written down in cents where `{columns.month}` is below {first}",
            f"up to `{columns.month}` {first - 1} the entries are in cents, later in euros",
            f"the entries are in euros only from `{columns.month}` {first} on, before that in cents",
        )
        return f"{columns.meaning[name]}; {forms[world.told.variant % len(forms)]}"
    return columns.meaning[name]


def _type(kind: DtypeObj) -> str:
    if not is_numeric_dtype(kind):
        return "text"
    return "whole number" if is_integer_dtype(kind) else "number"


@cache
def _template() -> Template:
    """The prompt's template, the same for all episodes."""
    return Template(resources.files(__package__).joinpath("prompt.md").read_text(encoding="utf-8"))
