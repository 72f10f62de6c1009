"""Tools, structured output, thinking and the cache, as the official SDK sees them."""

from __future__ import annotations

from typing import Any

import anthropic
import pydantic
import pytest

from profiler.provider.mock_server.settings import ServerSettings
from tests.profiler.provider.mock_server.reading.asking import TOOL
from tests.profiler.provider.mock_server.test_sdk import sdk

ASKED: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "What is the weather in Oslo?"}],
}
WORDY_TOOL = TOOL | {
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "note": {"type": "string", "minLength": 400}},
        "required": ["city", "note"],
    }
}
FORCED: dict[str, Any] = {"tool_choice": {"type": "tool", "name": "get_weather"}}
MARKED: list[Any] = [{"type": "text", "text": "word " * 6000, "cache_control": {"type": "ephemeral"}}]


class Weather(pydantic.BaseModel):
    city: str
    degrees: int = pydantic.Field(description="Celsius")
    sky: list[str]


@pytest.mark.parametrize(
    "changes",
    [
        {"tools": [TOOL], **FORCED},
        {"tools": [TOOL], "tool_choice": {"type": "any"}},
        {"tools": [TOOL | {"input_schema": {"type": "object"}}], **FORCED},
        {"tools": [WORDY_TOOL], **FORCED, "max_tokens": 40},
        {"tools": [WORDY_TOOL], **FORCED, "max_tokens": 2},
        {"model": "claude-opus-5-5", "tools": [TOOL]},
        {"system": MARKED},
        {"max_tokens": 0},
    ],
)
async def test_a_stream_adds_up_to_what_comes_in_one_piece(changes: dict[str, Any]) -> None:
    async with sdk() as client:
        whole = await client.messages.create(**ASKED | changes)
        async with client.messages.stream(**ASKED | changes) as stream:
            streamed = await stream.get_final_message()

    different: Any = {"id": True, "usage": True, "content": {"__all__": {"id", "parsed_output"}}}
    assert streamed.model_dump(exclude=different) == whole.model_dump(exclude=different)
    assert streamed.usage.output_tokens == whole.usage.output_tokens


async def test_a_call_that_max_tokens_cuts_off_keeps_the_fields_that_were_whole() -> None:
    async with sdk() as client:
        message = await client.messages.create(**ASKED | FORCED | {"tools": [WORDY_TOOL], "max_tokens": 40})

    (call,) = message.content
    assert message.stop_reason == "max_tokens"
    assert call.type == "tool_use"
    assert set(call.input) == {"city"}


async def test_the_sdk_parses_structured_output_into_its_model() -> None:
    async with sdk() as client:
        message = await client.messages.parse(**ASKED, output_format=Weather)
        async with client.messages.stream(**ASKED, output_format=Weather) as stream:
            streamed = await stream.get_final_message()

    assert isinstance(message.parsed_output, Weather)
    assert streamed.parsed_output == message.parsed_output


async def test_the_tool_runner_goes_on_until_there_is_an_answer() -> None:
    looked: list[str] = []

    @anthropic.beta_async_tool
    async def get_weather(city: str) -> str:
        """The weather of a city."""
        looked.append(city)
        return "rain"

    async with sdk(ServerSettings(tool_rate=1.0)) as client:
        runner = client.beta.messages.tool_runner(**ASKED, tools=[get_weather])
        last = await runner.until_done()

    assert looked
    assert last.stop_reason == "end_turn"


async def test_the_cache_is_read_by_the_second_request() -> None:
    async with sdk() as client:
        usages = [(await client.messages.create(**ASKED, system=MARKED)).usage for _ in range(2)]
        counted = await client.messages.count_tokens(
            model=ASKED["model"],
            messages=ASKED["messages"],
            system=MARKED,
        )

    first, second = usages
    assert first.cache_creation_input_tokens == second.cache_read_input_tokens
    assert first.cache_creation is not None
    assert first.cache_creation.ephemeral_5m_input_tokens == first.cache_creation_input_tokens
    for usage in usages:
        parts = (usage.input_tokens, usage.cache_creation_input_tokens, usage.cache_read_input_tokens)
        assert sum(part or 0 for part in parts) == counted.input_tokens


async def test_an_answer_may_be_sent_back_as_it_came() -> None:
    options = {"model": "claude-opus-5", "tools": [TOOL], "tool_choice": {"type": "auto"}}
    async with sdk(ServerSettings(tool_rate=1.0)) as client:
        asked = ASKED | options
        first = await client.messages.create(**asked)
        results: list[Any] = [
            {"type": "tool_result", "tool_use_id": block.id, "content": "rain"}
            for block in first.content
            if block.type == "tool_use"
        ]
        back = [
            *ASKED["messages"],
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": results},
        ]
        second = await client.messages.create(**asked | {"messages": back})
        beta = await client.beta.messages.create(**asked | {"messages": back})

    assert [first.stop_reason, second.type, beta.type] == ["tool_use", "message", "message"]


async def test_a_model_says_what_it_takes() -> None:
    async with sdk(ServerSettings(models=("claude-own",))) as client:
        haiku = await client.models.retrieve("claude-haiku-4-5")
        own = await client.models.retrieve("claude-own")

    assert (haiku.id, haiku.max_input_tokens, haiku.max_tokens) == ("claude-haiku-4-5-20251001", 200_000, 64_000)
    assert haiku.capabilities is not None
    assert not haiku.capabilities.thinking.types.adaptive.supported
    assert own.capabilities is not None
    assert own.capabilities.effort.max.supported
