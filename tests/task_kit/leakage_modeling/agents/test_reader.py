"""`reader`: what it reads is true, in families it never met, and it reads nothing but the prompt."""

from __future__ import annotations

import ast
import inspect

import pytest

from task_kit.leakage_modeling.agents import reader
from task_kit.leakage_modeling.agents.reader import Reader, read
from task_kit.leakage_modeling.worlds.dictionary import prompt_text, told_text
from task_kit.leakage_modeling.worlds.settings import Family, Settings
from task_kit.leakage_modeling.worlds.world import make_world

STORY = """
- **the order**: the order arrives, on day 0
- **the visit**: somebody comes by, {visit}
- **the bill**: the bill is sent, on day 20

`target` says whether it broke. The prediction is made {made}.

| column | type | meaning |
|---|---|---|
| `x` | number | a figure; {when} |
| `y` | number | another; noted on day 19 |
| `target` | whole number | whether it broke: 0 or 1, in `train_df` only |
"""


def is_late(when: str, *, made: str = "on day 12, before anything of that day", visit: str = "on day 10") -> bool:
    return "x" in read(STORY.format(when=when, made=made, visit=visit)).late


@pytest.mark.parametrize("family", ["seen", "held-out"])
@pytest.mark.parametrize("difficulty", [0, 1, 2, 3])
def test_it_finds_the_late_columns_and_the_units_of_every_world(difficulty: int, family: Family) -> None:
    settings = Settings(difficulty=difficulty, family=family, train_rows=100, hidden_rows=1000)
    for seed in range(8):
        world = make_world(seed, settings)

        notes = read(prompt_text(world, settings))

        assert set(notes.late) == set(world.leak_columns), seed
        assert {*notes.numeric, *notes.texts, notes.group, notes.month} - {None} == set(world.columns.features)
        cents = world.recording.cents
        if cents is not None:
            assert (notes.in_cents, notes.euros_from) == (world.columns.numeric[cents], world.recording.euros_from)
        assert list(notes.cycles.values()) == ([world.columns.cycle.period] if world.columns.cycle else [])


@pytest.mark.parametrize(
    ("when", "late"),
    [
        ("noted when somebody comes by", False),
        ("noted two days after the visit", True),
        ("noted 1 day after somebody comes by", False),
        ("noted a week before the bill", True),
        ("noted nine days before the bill", False),
        ("counted in the nine days before the bill", True),
        ("counted over the two weeks up to the visit", False),
        ("counted from the order to the visit", False),
        ("counted between the visit and the bill", True),
        ("counted from the order until two weeks later", True),
        ("on day 11", False),
        ("once three days have gone by since the visit", True),
        ("counted over all cases of these records, this one included", True),
        ("counted on day 3 for cases that were over, not including this one", False),
        ("entered together with `y`", True),
        ("nobody knows when", False),
    ],
)
def test_words_are_turned_into_a_day_and_compared_with_that_of_the_prediction(when: str, late: bool) -> None:
    assert is_late(when) == late


def test_the_same_words_are_early_or_late_as_the_prediction_is() -> None:
    when = "noted two days after the visit"

    assert is_late(when, made="one day after the visit")
    assert not is_late(when, made="one day before the bill")
    assert not is_late(when, made="on day 12, at noon", visit="5 days after the order")


def test_what_is_overlooked_is_decided_by_somebody_else() -> None:
    text = STORY.format(when="noted when somebody comes by", made="on day 12", visit="on day 10")

    assert read(text, judge=lambda name, is_late: not is_late).late == ["x"]


def test_it_knows_no_family_and_no_part_of_the_generator() -> None:
    """Its rules are grammar: no name, event or meaning of a story stands in its source, and it imports nothing of ours."""
    source = inspect.getsource(reader)
    imported = {node.module or "" for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert not any(name.startswith(("task_kit", "grader", "profiler")) for name in imported)

    for seed in range(12):
        for family in ("seen", "held-out"):
            world = make_world(seed, Settings(family=family, train_rows=100, hidden_rows=1000))
            timeline = world.told.timeline
            assert timeline is not None
            assert not any(event.noun in source or event.clause in source for event in timeline.events)
            assert not any(f"`{name}`" in source for name in world.columns.meaning)


def test_a_reader_is_told_what_an_agent_is_told() -> None:
    settings = Settings(difficulty=3, hidden_rows=1000)
    world = make_world(1, settings)

    assert read(told_text(world)) == read(prompt_text(world, settings))
    assert Reader(told_text(world)).made_on == Reader(prompt_text(world, settings)).made_on
