"""What the types allow and what they refuse, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from profiler.core.shapes import table
from profiler.provider.mock_server.reading.requests import check_body
from profiler.provider.mock_server.settings import ApiError
from tests.profiler.provider.mock_server.reading.asking import (
    BETA,
    HELLO,
    NEW,
    TOOL,
    TOOL_USE,
    body,
    count,
    exchange,
    read,
    refusal,
)

SOURCE = "messages.0.content.0.image.source.base64"
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}


def user(*blocks: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(blocks)}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"system": 3}, "system: Input should be a valid list"),
        ({"temprature": 1}, "temprature: Extra inputs are not permitted"),
        ({"messages": "x"}, "messages: Input should be a valid list"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"content": "x"}]}, "messages.0.role: Field required"),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages.0.role: Input should be 'user', 'assistant' or 'system'",
        ),
        ({"messages": user({"text": "x"})}, "messages.0.content.0.type: Field required"),
        ({"messages": user({"type": "text"})}, "messages.0.content.0.text.text: Field required"),
        ({"messages": user(3)}, "messages.0.content.0: Input should be a valid dictionary"),
        (
            {"messages": user({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "2h"}})},
            "messages.0.content.0.text.cache_control.ttl: Input should be '1h' or '5m'",
        ),
        (
            {"messages": user({"type": "image", "source": {"type": "base64", "media_type": "image/bmp", "data": ""}})},
            f"{SOURCE}.media_type: Input should be 'image/gif', 'image/jpeg', 'image/png' or 'image/webp'",
        ),
        ({"tools": [{"name": "x"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [TOOL | {"input_schema": {}}]}, "tools.0.custom.input_schema.type: Field required"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.tool.name: Field required"),
        ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Field required"),
        (
            {"output_config": {"effort": "huge"}},
            "output_config.effort: Input should be 'high', 'low', 'max', 'medium' or 'xhigh'",
        ),
        ({"service_tier": "gold"}, "service_tier: Input should be 'auto' or 'standard_only'"),
    ],
)
def test_what_the_types_do_not_allow_is_refused_at_its_place(changes: dict[str, Any], message: str) -> None:
    assert refusal(**changes) == message


def test_an_unknown_block_is_named_with_those_that_there_are() -> None:
    said = refusal(messages=user({"type": "txt", "text": "x"}))

    assert said.startswith(
        "messages.0.content.0: Input tag 'txt' found using 'type' does not match any of the expected tags: 'text', "
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": user({"type": "text", "text": "x", "citations": None})},
        {"messages": user(PICTURE, {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}})},
        {"messages": user({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}})},
        {
            "messages": user(
                {"type": "search_result", "title": "t", "source": "s", "content": [{"type": "text", "text": "x"}]}
            )
        },
        {"metadata": {"user_id": "u"}, "service_tier": "auto", "inference_geo": None, "container": "c"},
        {
            "messages": exchange(
                "x",
                [TOOL_USE | {"caller": {"type": "direct"}, "toolset_name": None}],
                [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [PICTURE], "is_error": True}],
            )
        },
        {"tools": [TOOL, {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]},
        {"tools": [TOOL | {"type": "custom", "strict": False, "eager_input_streaming": None}]},
        {"cache_control": {"type": "ephemeral"}, "diagnostics": {"previous_message_id": None}},
        {"max_tokens": 0},
    ],
)
def test_what_the_sdk_can_send_is_taken(changes: dict[str, Any]) -> None:
    assert refusal(**changes) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"thread": {"type": "create"}},
        {"mcp_servers": [{"type": "url", "name": "m", "url": "https://example.com"}]},
        {"output_format": {"type": "json_schema", "schema": {"type": "string"}}},
        {"compaction": {"type": "summarize"}},
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
        {"fallbacks": "default"},
    ],
)
def test_beta_fields_are_taken_from_beta_clients_alone(changes: dict[str, Any]) -> None:
    (name,) = changes

    assert read(BETA, **changes).model
    assert refusal(NEW, **changes) == f"{name}: Extra inputs are not permitted"


def test_mcp_servers_are_counted_too() -> None:
    servers = [{"type": "url", "name": "m", "url": "https://example.com"}]

    assert count(BETA, mcp_servers=servers).input_tokens > count(BETA).input_tokens


def test_every_structure_of_the_table_names_the_first_field_that_it_lacks() -> None:
    first = {
        name: next((field for field, (needed, _) in structure.fields.items() if needed), None)
        for name, structure in table().structures.items()
    }

    assert {name: lacking(name) for name in first} == first


def lacking(structure: str) -> str | None:
    """The field that an empty object lacks."""
    try:
        check_body(structure, {})
    except ApiError as error:
        return error.message.removesuffix(": Field required")
    return None


def test_a_body_that_is_no_object_is_refused() -> None:
    with pytest.raises(ApiError, match="valid dictionary"):
        check_body("message", [HELLO])


def test_an_unknown_field_of_a_message_is_named() -> None:
    assert refusal(**body(messages=[HELLO | {"name": "x"}])) == "messages.0.name: Extra inputs are not permitted"
