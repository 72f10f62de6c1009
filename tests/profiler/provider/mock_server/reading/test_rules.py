"""What no type can say: each rule refuses what breaks it, in the API's words, and takes what keeps it."""

from __future__ import annotations

from typing import Any

import pytest

from profiler.provider.mock_server.reading.models import Models
from profiler.provider.mock_server.reading.requests import Version
from profiler.provider.mock_server.settings import ApiError
from tests.profiler.provider.mock_server.reading.asking import (
    BETA,
    HELLO,
    NEW,
    OLD,
    STRICT_SCHEMA,
    TOOL,
    TOOL_RESULT,
    TOOL_USE,
    exchange,
    read,
    refusal,
)

MARK = {"type": "ephemeral"}


def texts(*given: str, **further: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text, **further} for text in given]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": exchange("")}, "messages.0: user messages must have non-empty content"),
        ({"messages": exchange([])}, "messages.0: user messages must have non-empty content"),
        ({"messages": exchange("x", "", "y")}, "messages.1: assistant messages must have non-empty content"),
        ({"messages": exchange(texts(""))}, "messages: text content blocks must be non-empty"),
        ({"messages": exchange(texts(" \n"))}, "messages: text content blocks must contain non-whitespace text"),
        ({"messages": exchange("  ")}, "messages: text content blocks must contain non-whitespace text"),
        ({"system": texts("")}, "system: text content blocks must be non-empty"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        ({"stop_sequences": ["a", " \n"]}, "stop_sequences: each stop sequence must contain non-whitespace"),
        ({"messages": exchange("x", "so ")}, "messages: final assistant content cannot end with trailing whitespace"),
        ({"tool_choice": {"type": "any"}}, "tool_choice: may only be specified while providing tools"),
        ({"tools": [TOOL, TOOL]}, "tools: Tool names must be unique."),
    ],
)
def test_what_breaks_a_rule_is_refused(changes: dict[str, Any], message: str) -> None:
    assert refusal(**changes) == message


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": exchange("x", "")},
        {"messages": exchange("x", "so")},
        {"messages": [HELLO, HELLO]},
        {"stop_sequences": ["\nHuman:"]},
        {"stop_sequences": []},
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "get_weather"}},
        {"tool_choice": {"type": "none"}},
    ],
)
def test_what_keeps_the_rules_is_taken(changes: dict[str, Any]) -> None:
    assert refusal(**changes) == ""


def test_a_model_that_there_is_not_is_not_found_and_may_be_added() -> None:
    with pytest.raises(ApiError) as caught:
        read(model="claude-next")

    assert (caught.value.status, caught.value.kind) == (404, "not_found_error")
    assert caught.value.message == "model: claude-next"
    assert refusal(model="claude-next", models=Models(("claude-next",))) == ""


def test_no_answer_may_be_wanted_that_is_longer_than_the_model_gives() -> None:
    assert refusal(max_tokens=64_000) == ""
    assert refusal(max_tokens=64_001) == (
        "max_tokens: 64001 > 64000, which is the maximum allowed number of output tokens for claude-haiku-4-5"
    )


def test_a_prompt_must_fit_the_context_of_its_model() -> None:
    long = exchange("word " * 160_010)

    assert refusal(messages=long).startswith("prompt is too long: 2000")
    assert refusal(messages=long, model="claude-opus-5") == ""


# what is marked for the cache


def test_more_than_four_breakpoints_are_refused() -> None:
    system = texts(*"abcd", cache_control=MARK)

    assert refusal(system=system) == ""
    assert refusal(system=system, cache_control=MARK) == (
        "A maximum of 4 blocks with cache_control may be provided. Found 5."
    )


def test_marks_inside_a_tool_result_count() -> None:
    result = TOOL_RESULT | {"content": texts(*"abcde", cache_control=MARK)}

    assert "Found 5." in refusal(messages=exchange("x", [TOOL_USE], [result]))


def test_a_longer_life_must_come_before_a_shorter_one() -> None:
    short, long = texts("a", cache_control=MARK), texts("b", cache_control=MARK | {"ttl": "1h"})

    assert refusal(system=[*long, *short]) == ""
    assert refusal(system=[*short, *long]).startswith("system.1.cache_control.ttl: a ttl='1h'")


# what a model takes


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("claude-opus-4-6", {"messages": exchange("x", "so")}, "This model does not support assistant message prefill"),
        (
            "claude-opus-4-7",
            {"messages": [HELLO, {"role": "system", "content": "x"}]},
            "messages.1: role 'system' is not",
        ),
        ("claude-haiku-4-5", {"thinking": {"type": "adaptive"}}, "adaptive thinking is not supported on this model"),
        (
            "claude-opus-5",
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive"',
        ),
        ("claude-opus-5-5", {"thinking": {"type": "disabled"}}, '"thinking.type.disabled" is not supported'),
        ("claude-haiku-4-5", {"output_config": {"effort": "low"}}, "This model does not support the effort parameter."),
        ("claude-opus-4-6", {"output_config": {"effort": "xhigh"}}, "output_config.effort: 'xhigh' is not supported"),
        (
            "claude-opus-5-5",
            {"tools": [TOOL], "tool_choice": {"type": "any"}},
            'tool_choice: type "tool" and "any" are not supported for this model.',
        ),
    ],
)
def test_what_one_model_does_not_take_is_refused_and_another_takes_it(
    model: str, changes: dict[str, Any], message: str
) -> None:
    assert refusal(model=model, **changes).startswith(message)
    assert refusal(model="claude-any", models=Models(("claude-any",)), **changes) == ""


def test_effort_at_its_highest_does_not_go_without_thinking() -> None:
    thinking = {"type": "disabled"}

    assert refusal(model="claude-opus-5", thinking=thinking, output_config={"effort": "high"}) == ""
    assert "effort" in refusal(model="claude-opus-5", thinking=thinking, output_config={"effort": "xhigh"})


@pytest.mark.parametrize(
    ("budget", "max_tokens", "message"),
    [
        (1023, 4096, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"),
        (1024, 1024, "`max_tokens` must be greater than `thinking.budget_tokens`."),
        (1024, 1025, ""),
    ],
)
def test_a_budget_for_thinking_has_bounds(budget: int, max_tokens: int, message: str) -> None:
    assert refusal(thinking={"type": "enabled", "budget_tokens": budget}, max_tokens=max_tokens) == message


def test_who_thinks_cannot_be_forced_to_call_a_tool() -> None:
    forced: dict[str, Any] = {
        "tools": [TOOL],
        "tool_choice": {"type": "any"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }

    assert refusal(**forced) == "Thinking may not be enabled when tool_choice forces tool use."


@pytest.mark.parametrize(("name", "value"), [("temperature", 0.5), ("top_p", 0.9), ("top_k", 3)])
def test_newer_models_refuse_to_be_sampled_otherwise(name: str, value: float) -> None:
    sampled: dict[str, Any] = {name: value}

    assert refusal(OLD, model="claude-opus-5", **sampled) == f"`{name}` is deprecated for this model."
    assert refusal(OLD, model="claude-opus-4-6", **sampled) == ""
    assert name in refusal(NEW, model="claude-opus-4-6", **sampled)


THINKING = {"type": "enabled", "budget_tokens": 1024}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.5, "top_p": 0.9}, "`temperature` and `top_p` cannot both be specified for this model."),
        ({"temperature": 0.5, "thinking": THINKING}, "`temperature` may only be set to 1 when thinking is enabled"),
        ({"top_k": 5, "thinking": THINKING}, "`top_k` must be unset when thinking is enabled"),
        ({"top_p": 0.9, "thinking": THINKING}, "`top_p` must be greater than or equal to 0.95"),
    ],
)
def test_sampling_parameters_exclude_each_other_and_thinking(changes: dict[str, Any], message: str) -> None:
    assert refusal(OLD, **changes).startswith(message)
    assert refusal(OLD, temperature=1, thinking=THINKING) == refusal(OLD, top_p=0.97, thinking=THINKING) == ""
    assert refusal(OLD, models=Models(["own"]), model="own", temperature=0.5, top_p=0.9) == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 1.5}, "temperature: Input should be less than or equal to 1"),
        ({"temperature": "hot"}, "temperature: Input should be a valid number"),
        ({"top_k": 1.5}, "top_k: Input should be a valid integer"),
    ],
)
def test_sampling_has_bounds(changes: dict[str, Any], message: str) -> None:
    assert refusal(OLD, **changes) == message


# tools and schemas


def test_a_tool_that_is_forced_must_be_there() -> None:
    assert refusal(tools=[TOOL], tool_choice={"type": "tool", "name": "other"}) == (
        "Tool 'other' not found in provided tools"
    )


def test_the_name_of_a_tool_is_plain() -> None:
    assert "String should match pattern" in refusal(tools=[TOOL | {"name": "get weather"}])


def test_alternatives_at_the_top_of_a_tool_are_refused() -> None:
    schema = {"type": "object", "anyOf": [{"required": ["a"]}]}

    assert "oneOf, allOf, or anyOf at the top level" in refusal(tools=[TOOL | {"input_schema": schema}])


@pytest.mark.parametrize("version", [NEW, BETA])
def test_the_schema_of_a_tool_may_hold_any_keyword(version: Version) -> None:
    schema = {"type": "object", "additionalProperties": False, "$defs": {}, "title": "T", "x-own": 1}

    assert refusal(version, tools=[TOOL | {"input_schema": schema}]) == ""


def test_a_strict_tool_keeps_to_the_subset_and_another_need_not() -> None:
    loose = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}

    assert refusal(tools=[TOOL | {"input_schema": loose}]) == ""
    assert refusal(tools=[TOOL | {"input_schema": STRICT_SCHEMA, "strict": True}]) == ""
    assert refusal(tools=[TOOL | {"input_schema": loose | {"additionalProperties": False}, "strict": True}]) == (
        "tools.0.custom.input_schema: For 'integer' type, properties minimum are not supported"
    )


@pytest.mark.parametrize("way", ["output_config", "output_format"])
def test_the_schema_of_an_output_format_is_checked_whichever_way_it_is_sent(way: str) -> None:
    form = {"type": "json_schema", "schema": {"type": "string", "minLength": 3}}
    changes: dict[str, Any] = {way: {"format": form} if way == "output_config" else form}

    assert refusal(BETA, **changes) == (
        "output_config.format.schema: For 'string' type, properties minLength are not supported"
    )
