"""Mistakes in tools, in the choice among them, in the format of answers and in `request` are found, each at its place."""

from __future__ import annotations

from typing import Any

import pytest

from profiler.core.sent_parameters import dialogue_faults

TOOL = {"name": "look_up", "input_schema": {"type": "object", "properties": {"what": {"type": "string"}}}}
FORMAT = {"type": "json_schema", "schema": {"type": "object"}}


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"service_tier": "auto", "of_tomorrow": [None, {"model": "inside of another key"}]},
        {"tools": [TOOL, {"type": "web_search_20250305", "name": "web_search"}], "tool_choice": {"type": "any"}},
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "look_up", "disable_parallel_tool_use": True}},
        {"output_format": FORMAT, "output_config": {"of_tomorrow": 1}},
        {"tools": None, "tool_choice": None, "output_format": None},
        {"tool_choice": {"type": "tool", "name": "of_the_manifest"}},
    ],
)
def test_what_can_be_sent_is_left_alone(request_: dict[str, Any]) -> None:
    assert list(dialogue_faults(request_)) == []


@pytest.mark.parametrize(
    ("request_", "path", "message", "hint"),
    [
        ({"model": "x"}, ("model",), "found 'model', which is not sent as it stands", "set model in the manifest"),
        ({"messages": []}, ("messages",), "not sent as it stands", "put them beside request: user, messages or turns"),
        ({"stream": True}, ("stream",), "not sent as it stands", "set stream in the manifest"),
        ({"betas": ["x"]}, ("betas",), "not sent as it stands", "it travels in a header: set ANTHROPIC_CUSTOM_HEADERS"),
        ({"output_config": {"format": FORMAT}}, ("output_config", "format"), "not sent", "use the key output_format"),
        ({"output_config": 3}, ("output_config",), "found 3 (a whole number), expected a mapping", None),
        ({"tools": [{**TOOL, "name": None}]}, ("tools", 0, "name"), "found nothing (null), expected a string", None),
        ({"tools": [{"input_schema": {}}]}, ("tools", 0), "found no 'name', expected it", None),
        ({"tools": [{**TOOL, "name": "look up"}]}, ("tools", 0, "name"), "found 'look up'", None),
        ({"tools": [TOOL, TOOL]}, ("tools", 1, "name"), "found the tool 'look_up' a second time", None),
        ({"tools": [{"type": "web_serch", "name": "x"}]}, ("tools", 0, "type"), "unknown type", "did you mean"),
        ({"tools": {"look_up": {}}}, ("tools",), "found a mapping of 1, expected a list of tools", None),
        (
            {"tools": [{**TOOL, "input_schema": {"type": "object", "properties": {"a": {"type": "txt"}}}}]},
            ("tools", 0, "input_schema"),
            "found no JSON Schema: $.properties.a.type: 'txt' is not valid",
            None,
        ),
        ({"tool_choice": "any"}, ("tool_choice",), "found 'any' (a string), expected a mapping", None),
        ({"tool_choice": {"type": "tool"}}, ("tool_choice",), "found no 'name', expected it", None),
        (
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "lookup"}},
            ("tool_choice", "name"),
            "found the tool 'lookup', expected one of look_up",
            "did you mean 'look_up'?",
        ),
        ({"output_format": {"schema": {}}}, ("output_format",), "found no 'type', expected it", None),
        (
            {"output_format": {"type": "json_schema", "schema": {"type": "objct"}}},
            ("output_format", "schema"),
            "found no JSON Schema that answers can be checked with",
            None,
        ),
    ],
)
def test_what_cannot_be_sent_is_said_at_its_place(
    request_: dict[str, Any], path: tuple[Any, ...], message: str, hint: str | None
) -> None:
    (fault,) = dialogue_faults(request_)

    assert (fault.at, (fault.hint or "").startswith(hint or "")) == (path, True)
    assert message in fault.message
