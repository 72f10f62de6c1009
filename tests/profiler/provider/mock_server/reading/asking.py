"""Requests as tests write them, and what the server makes of them."""

from __future__ import annotations

from typing import Any

from profiler.core.json import dumps
from profiler.provider.mock_server.reading.models import Models
from profiler.provider.mock_server.reading.prompts import NewMessage, Prompt
from profiler.provider.mock_server.reading.requests import Version, read_message, read_prompt
from profiler.provider.mock_server.settings import ApiError

MODEL = "claude-haiku-4-5"
HELLO = {"role": "user", "content": "Hello"}
NEW, OLD = Version("2026-10-21"), Version("2023-06-01")
BETA = Version("2026-10-21", beta=True)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
STRICT_SCHEMA = SCHEMA | {"additionalProperties": False}
TOOL: dict[str, Any] = {"name": "get_weather", "description": "The weather of a city.", "input_schema": SCHEMA}
TOOL_USE = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}}
TOOL_RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}


def body(**changes: Any) -> dict[str, Any]:
    """A request that is in order but for the changes; a change to None leaves the field out."""
    whole = {"model": MODEL, "max_tokens": 4096, "messages": [HELLO]} | changes
    return {name: value for name, value in whole.items() if value is not None}


def read(version: Version = NEW, *, models: Models | None = None, **changes: Any) -> NewMessage:
    return read_message(dumps(body(**changes)), version=version, models=models or Models())


def count(version: Version = NEW, **changes: Any) -> Prompt:
    return read_prompt(dumps(body(max_tokens=None, **changes)), version=version, models=Models())


def refusal(version: Version = NEW, *, models: Models | None = None, **changes: Any) -> str:
    """The message of the 400, "" where the request is taken."""
    try:
        read(version, models=models, **changes)
    except ApiError as error:
        return error.message if (error.status, error.kind) == (400, "invalid_request_error") else f"{error.status}"
    return ""


def exchange(*contents: Any) -> list[dict[str, Any]]:
    """Messages, by turns of the user and of the assistant."""
    return [{"role": ("user", "assistant")[at % 2], "content": content} for at, content in enumerate(contents)]
