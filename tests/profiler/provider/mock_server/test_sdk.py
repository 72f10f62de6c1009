"""The official SDK accepts all that the server sends, and sees each refusal as what it is."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anthropic
import pytest

from profiler.provider.mock_server.reading.models import IDS
from profiler.provider.mock_server.server import MockServer
from profiler.provider.mock_server.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anthropic.types import MessageParam

MODEL = "claude-haiku-4-5"
MESSAGES: list[MessageParam] = [{"role": "user", "content": "Why is the sea salty, and since when? " * 3}]


@asynccontextmanager
async def sdk(settings: ServerSettings | None = None) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with (
        MockServer(settings) as server,
        # no TLS here, and reading the certificates takes longer than a test
        anthropic.DefaultAsyncHttpxClient(verify=False) as http,
        anthropic.AsyncAnthropic(
            base_url=server.base_url, api_key="mock", max_retries=0, timeout=10, http_client=http
        ) as client,
    ):
        yield client


async def test_a_message_is_understood() -> None:
    async with sdk() as client:
        message = await client.messages.create(model=MODEL, max_tokens=200, messages=MESSAGES)

    assert anthropic.types.Message.model_validate(message.model_dump(), strict=False) == message
    assert message.content[0].type == "text"
    assert (message.stop_reason, message.model) == ("end_turn", MODEL)


async def test_a_stream_adds_up_to_the_message_that_comes_in_one_piece() -> None:
    async with sdk() as client:
        whole = await client.messages.create(model=MODEL, max_tokens=200, messages=MESSAGES)
        async with client.messages.stream(model=MODEL, max_tokens=200, messages=MESSAGES) as stream:
            streamed = await stream.get_final_message()

    different = {"id", "content"}  # the id is made from the body; a parsed block has one more field
    assert streamed.model_dump(exclude=different) == whole.model_dump(exclude=different)
    assert streamed.content[0].text == whole.content[0].text  # type: ignore[union-attr]


async def test_a_stream_has_the_full_sequence_of_events() -> None:
    async with sdk() as client:
        stream = await client.messages.create(model=MODEL, max_tokens=200, messages=MESSAGES, stream=True)
        kinds = [event.type async for event in stream]

    deltas = kinds.count("content_block_delta")
    assert deltas > 3
    assert kinds == [
        *("message_start", "content_block_start"),
        *["content_block_delta"] * deltas,
        *("content_block_stop", "message_delta", "message_stop"),
    ]


async def test_thinking_comes_as_a_block_of_its_own_in_both_ways() -> None:
    async with sdk() as client:
        options: dict[str, Any] = {"model": "claude-opus-4-6", "max_tokens": 2000, "messages": MESSAGES}
        whole = await client.messages.create(**options, thinking={"type": "adaptive"})
        async with client.messages.stream(**options, thinking={"type": "adaptive"}) as stream:
            streamed = await stream.get_final_message()

    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert streamed.content[0] == whole.content[0]
    assert streamed.usage == whole.usage


async def test_the_tokens_that_are_counted_are_those_that_are_used() -> None:
    async with sdk() as client:
        counted = await client.messages.count_tokens(model=MODEL, messages=MESSAGES, system="Be brief.")
        message = await client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES, system="Be brief.")

    assert counted.input_tokens == message.usage.input_tokens


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_all_models_are_listed_whatever_the_size_of_a_page(limit: int) -> None:
    async with sdk() as client:
        listed = [model.id async for model in client.models.list(limit=limit)]

    assert listed == list(IDS)


async def test_models_are_listed_backwards_too() -> None:
    async with sdk() as client:
        listed = [model.id async for model in client.models.list(limit=4, before_id=IDS[10])]

    assert sorted(listed) == sorted(IDS[:10])


async def test_one_model_is_described() -> None:
    async with sdk() as client:
        model = await client.models.retrieve("claude-sonnet-4-5-20250929")

    assert (model.type, model.line, model.created_at.year) == ("model", "sonnet", 2025)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("400", anthropic.BadRequestError),
        ("401", anthropic.AuthenticationError),
        ("402", anthropic.PaymentRequiredError),
        ("403", anthropic.PermissionDeniedError),
        ("404", anthropic.NotFoundError),
        ("408", anthropic.RequestTimeoutError),
        ("409", anthropic.ConflictError),
        ("413", anthropic.ContentTooLargeError),
        ("422", anthropic.UnprocessableEntityError),
        ("429", anthropic.RateLimitError),
        ("500", anthropic.InternalServerError),
        ("502", anthropic.InternalServerError),
        ("503", anthropic.ServiceUnavailableError),
        ("504", anthropic.GatewayTimeoutError),
        ("529", anthropic.OverloadedError),
        ("reset", anthropic.APIConnectionError),
        ("close", anthropic.APIConnectionError),
        ("half-body", anthropic.APIConnectionError),
    ],
)
async def test_each_fault_is_the_error_that_the_sdk_has_for_it(fault: str, expected: type[Exception]) -> None:
    async with sdk(ServerSettings(faults={fault: 1.0})) as client:
        with pytest.raises(expected):
            await client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("429", None),
        ("429-spend-limit", "enforced_spend_limit_reached"),
        ("429-contract-limit", "contract_spend_limit_reached"),
        ("429-ramp", "ramp_limit_exceeded"),
    ],
)
async def test_the_sdk_finds_the_code_of_a_429(fault: str, code: str | None) -> None:
    async with sdk(ServerSettings(faults={fault: 1.0})) as client:
        with pytest.raises(anthropic.RateLimitError) as caught:
            await client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGES)

    assert (caught.value.type, caught.value.error_code) == ("rate_limit_error", code)
    assert caught.value.request_id


async def test_an_error_in_the_middle_of_a_stream_is_seen() -> None:
    async with sdk(ServerSettings(faults={"stream-error": 1.0})) as client:
        stream = await client.messages.create(model=MODEL, max_tokens=200, messages=MESSAGES, stream=True)
        with pytest.raises(anthropic.APIStatusError) as caught:
            async for _ in stream:
                pass

    assert caught.value.type == "overloaded_error"
