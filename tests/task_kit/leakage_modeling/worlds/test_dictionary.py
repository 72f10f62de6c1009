from __future__ import annotations

import pytest

from task_kit.leakage_modeling.worlds.dictionary import dictionary_text, prompt_text
from task_kit.leakage_modeling.worlds.settings import Settings
from task_kit.leakage_modeling.worlds.world import World, make_world


def world(difficulty: int) -> World:
    return make_world(3, Settings(difficulty=difficulty, hidden_rows=1000))


@pytest.mark.parametrize("difficulty", [0, 1, 2, 3])
def test_every_column_has_a_line_in_the_order_of_the_frame(difficulty: int) -> None:
    found = world(difficulty)

    lines = dictionary_text(found).splitlines()[2:]

    assert [line.split("`")[1] for line in lines] == list(found.train.columns)
    assert all(line.split("|")[3].strip() for line in lines)


def test_the_change_of_a_unit_is_told_with_its_month() -> None:
    for seed in range(12):
        found = make_world(seed, Settings(difficulty=3, hidden_rows=1000))
        cents = found.recording.cents
        assert cents is not None

        line = next(line for line in dictionary_text(found).splitlines() if f"`{found.columns.numeric[cents]}`" in line)

        assert "in cents" in line
        assert f"`{found.columns.month}`" in line
        assert {str(found.recording.euros_from), str(found.recording.euros_from - 1)} & set(
            line.replace(",", "").split()
        )
    assert dictionary_text(world(2)).count("cents") == 0


@pytest.mark.parametrize("difficulty", [1, 2, 3])
def test_the_story_says_when_everything_happens_and_when_the_prediction_is_made(difficulty: int) -> None:
    found = world(difficulty)
    timeline = found.told.timeline
    assert timeline is not None

    text = prompt_text(found, Settings(difficulty=difficulty, hidden_rows=1000))

    assert all(f"**{event.noun}**: {event.clause}" in text for event in timeline.events)
    assert f"The prediction is made {timeline.prediction.words}." in text


def test_the_prompt_states_what_will_be_checked_and_leaves_no_gap() -> None:
    settings = Settings(difficulty=2, max_regret=0.41, max_miscalibration=0.07, max_steps=13, hidden_rows=1000)
    found = world(2)

    text = prompt_text(found, settings)

    assert dictionary_text(found) in text
    assert all(said in text for said in ("at most 0.41", "at most 0.07", "13 steps", "1,000 new rows", "200 finite"))
    assert "$" not in text


def test_the_prompt_keeps_the_secrets() -> None:
    found = world(3)

    text = prompt_text(found, Settings(difficulty=3))

    assert not any(f"{value:.3f}" in text for value in (*found.law.low, *found.law.linear[found.law.linear != 0]))
    assert "careful" not in text
