"""A static server answers whatever it is asked with the same bytes."""

from __future__ import annotations

from typing import Any

from anthropic import AsyncAnthropic

from profiler.provider.mock_server.server import MockServer
from profiler.provider.mock_server.settings import ServerSettings
from tests.profiler.provider.mock_server.raw import ASKED, ask


async def test_a_static_server_answers_everything_alike_and_counts() -> None:
    async with MockServer(ServerSettings(static=True)) as server:
        answers = [await ask(server, body, headers={}) for body in (b"", b"nonsense", ASKED)]

        assert {answer.body for answer in answers} == {answers[0].body}
        assert answers[0].json["type"] == "message"
        assert server.stats["requests"]["total"] == 3


async def test_a_static_server_streams_its_answer_in_twenty_parts() -> None:
    async with MockServer(ServerSettings(static=True)) as server:
        whole = (await ask(server)).json
        async with AsyncAnthropic(base_url=server.base_url, api_key="any") as client:
            told: Any = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
            events = [event async for event in await client.messages.create(**told, stream=True)]

    texts = [
        event.delta.text for event in events if event.type == "content_block_delta" and event.delta.type == "text_delta"
    ]
    assert len(texts) == 20
    assert "".join(texts) == whole["content"][0]["text"]
    assert events[-1].type == "message_stop"


async def test_a_static_server_keeps_limits_and_faults() -> None:
    settings = ServerSettings(static=True, requests_per_minute=1, faults={"500": 1.0})
    async with MockServer(settings) as server:
        assert [(await ask(server)).status for _ in range(2)] == [500, 429]
