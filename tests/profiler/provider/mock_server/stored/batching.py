"""Makes batches as the official SDK does, on a server that is moved through time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anthropic

from profiler.provider.mock_server.server import MockServer
from profiler.provider.mock_server.settings import ServerSettings
from tests.profiler.provider.mock_server.raw import ASKED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse


HOUR_S = 3600.0


PATH = "/v1/messages/batches"


def entry(custom_id: str, **changes: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Question {custom_id}"}]
    return {"custom_id": custom_id, "params": {**ASKED, "messages": messages, **changes}}


def entries(count: int) -> list[dict[str, Any]]:
    return [entry(f"q{number}") for number in range(count)]


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[tuple[MockServer, anthropic.AsyncAnthropic]]:
    async with (
        MockServer(ServerSettings(**settings)) as server,
        anthropic.DefaultAsyncHttpxClient(verify=False) as http,
        anthropic.AsyncAnthropic(
            base_url=server.base_url, api_key="mock", max_retries=0, timeout=10, http_client=http
        ) as client,
    ):
        yield server, client


async def create(client: anthropic.AsyncAnthropic, requests: list[dict[str, Any]]) -> MessageBatch:
    return await client.messages.batches.create(requests=requests)  # type: ignore[arg-type]


async def results(client: anthropic.AsyncAnthropic, batch: str) -> list[MessageBatchIndividualResponse]:
    return [line async for line in await client.messages.batches.results(batch)]


def kinds(lines: list[MessageBatchIndividualResponse]) -> dict[str, int]:
    found = [line.result.type for line in lines]
    return {kind: found.count(kind) for kind in sorted(set(found))}
