"""Calls and their results, and who may say what: as the API wants a conversation to be, in its words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.profiler.provider.mock_server.reading.asking import HELLO, TOOL_RESULT, TOOL_USE, exchange, refusal

OTHER_USE, OTHER_RESULT = TOOL_USE | {"id": "toolu_2"}, TOOL_RESULT | {"tool_use_id": "toolu_2"}
SO = {"type": "text", "text": "so: "}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
THINKING = {"type": "enabled", "budget_tokens": 1024}


@pytest.mark.parametrize(
    "messages",
    [
        exchange("x", [TOOL_USE], [TOOL_RESULT]),
        exchange("x", [SO, TOOL_USE, OTHER_USE], [OTHER_RESULT, TOOL_RESULT, SO], "Rain.", "Thanks"),
        [*exchange("x", [TOOL_USE]), {"role": "user", "content": [TOOL_RESULT]}, HELLO],
    ],
)
def test_calls_that_were_answered_are_taken(messages: list[dict[str, Any]]) -> None:
    assert refusal(messages=messages) == ""


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        (exchange([TOOL_RESULT]), "messages.0.content.0"),
        (exchange("x", "y", [SO, TOOL_RESULT]), "messages.2.content.1"),
        (exchange("x", [TOOL_USE], [TOOL_RESULT], "y", [TOOL_RESULT]), "messages.4.content.0"),
        (exchange("x", [TOOL_USE], [OTHER_RESULT]), "messages.2.content.0"),
    ],
)
def test_a_result_that_nobody_asked_for_is_refused(messages: list[dict[str, Any]], place: str) -> None:
    assert refusal(messages=messages).startswith(
        f"{place}: unexpected `tool_use_id` found in `tool_result` blocks: toolu_"
    )


@pytest.mark.parametrize(
    "messages",
    [
        exchange("x", [TOOL_USE], "y"),
        exchange("x", [TOOL_USE]),
        exchange("x", [TOOL_USE], "y", "z"),
        exchange("x", [TOOL_USE, OTHER_USE], [OTHER_RESULT]),
        exchange("x", [TOOL_USE], [SO, TOOL_RESULT]),  # words must come after the results
        exchange("x", [TOOL_USE, SO], [TOOL_RESULT]),  # and before the calls
    ],
)
def test_a_call_that_was_not_answered_at_once_is_refused(messages: list[dict[str, Any]]) -> None:
    said = refusal(messages=messages)

    assert said.startswith(
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1."
    )


def test_each_call_has_an_id_and_a_result_of_its_own() -> None:
    again = exchange("x", [TOOL_USE], [TOOL_RESULT], [TOOL_USE], [TOOL_RESULT])

    assert refusal(messages=again) == "messages.3.content.0: `tool_use` ids must be unique"
    assert refusal(messages=exchange("x", [TOOL_USE], [TOOL_RESULT, TOOL_RESULT])) == (
        "messages.2.content.1: each tool_use must have a single result. "
        "Found multiple `tool_result` blocks with id: toolu_1"
    )


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (exchange([TOOL_USE]), "messages.0: `tool_use` blocks can only be in `assistant` messages"),
        (exchange([THOUGHT]), "messages.0: `thinking` blocks can only be in `assistant` messages"),
        (exchange("x", [TOOL_RESULT], "y"), "messages.1: `tool_result` blocks can only be in `user` messages"),
    ],
)
def test_what_only_one_side_can_say_the_other_must_not(messages: list[dict[str, Any]], message: str) -> None:
    assert refusal(messages=messages) == message


@pytest.mark.parametrize("first", [SO, TOOL_USE])
def test_a_thought_must_come_back_before_the_calls_that_it_led_to(first: dict[str, Any]) -> None:
    calls = [first] if first is TOOL_USE else [first, TOOL_USE]

    assert refusal(messages=exchange("x", calls, [TOOL_RESULT]), thinking=THINKING).startswith(
        f"messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first['type']}`."
    )
    assert refusal(messages=exchange("x", [THOUGHT, *calls], [TOOL_RESULT]), thinking=THINKING) == ""
    assert refusal(messages=exchange("x", calls, [TOOL_RESULT])) == ""
    assert refusal(messages=exchange("x", calls, [TOOL_RESULT], "y", "z"), thinking=THINKING) == ""


def test_no_answer_that_is_begun_for_it_goes_without_a_thought() -> None:
    assert "but found `text`" in refusal(messages=exchange("x", "I think"), thinking=THINKING)
    assert refusal(messages=exchange("x", [THOUGHT]), thinking=THINKING) == ""
