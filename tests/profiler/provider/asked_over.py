"""A server asked over each lane, and what it may answer."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.errors import CallError
from profiler.core.nouns import Dialogue
from profiler.manifest.settings import Experiment
from profiler.provider.open import open_client
from profiler.provider.requests import Planner, params_of
from tests.profiler.provider.loopback import KEY, MESSAGE, Say, http

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from profiler.core.nouns import Reply, Request
    from profiler.provider.client import Client
    from profiler.provider.open import Lane
    from tests.profiler.provider.loopback import Server

LANES: tuple[Lane, ...] = ("fast", "sdk")
STREAMS: tuple[Lane, ...] = ("stream", "sdk-stream")
ALL_LANES: tuple[Lane, ...] = (*LANES, *STREAMS)


def experiment(url: str, **settings: Any) -> Experiment:
    given = {"experiment_id": "e", "model": "claude-haiku-4-5", "max_tokens": 64, "dataset_path": Path("d.json")}
    return Experiment(**{**given, "base_url": url, **settings})


def request_for(asked: Experiment, **dialogue: Any) -> Request:
    planner = Planner(params_of(asked), system=asked.system)
    return planner.request(0, Dialogue(**({"dialogue_id": "d", "user": "Capital of France?"} | dialogue)))


@asynccontextmanager
async def asking(lane: Lane, url: str, **settings: Any) -> AsyncIterator[tuple[Client, Request]]:
    asked = experiment(url, **settings)
    async with open_client(asked, mode="live", lane=lane, environ={"ANTHROPIC_API_KEY": KEY}) as client:
        yield client, request_for(asked)


async def answered(lane: Lane, server: Server, **settings: Any) -> Reply:
    async with asking(lane, server.url, **settings) as (client, request):
        return await client.complete(request)


async def failed(lane: Lane, server: Server) -> CallError:
    with pytest.raises(CallError) as caught:
        await answered(lane, server)
    return caught.value


def events(*content: dict[str, Any], cut: bool = False, **more: Any) -> Say:
    """A message as server-sent events, the text in two pieces."""
    message = {**MESSAGE, "content": [], "stop_reason": None, "usage": {"input_tokens": 12, "output_tokens": 1}}
    told: list[dict[str, Any]] = [{"type": "message_start", "message": message}, {"type": "ping"}]
    for index, block in enumerate(content):
        if block["type"] != "text":
            told.append({"type": "content_block_start", "index": index, "content_block": block})
            continue
        told.append({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}})
        half = len(block["text"]) // 2
        told += [
            {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": piece}}
            for piece in (block["text"][:half], block["text"][half:])
        ]
        told.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": "end_turn", "stop_sequence": None} | more
    if not cut:
        told.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 3}})
        told.append({"type": "message_stop"})
    return stream_of(*told)


def stream_of(*told: dict[str, Any]) -> Say:
    data = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in told).encode()
    return http(200, data, content_type="text/event-stream")


def as_asked(lane: Lane, **more: Any) -> Say:
    """The same message in the form that a lane reads."""
    message = {**MESSAGE, "usage": {"input_tokens": 12, "output_tokens": 3}} | more
    stop = {name: more[name] for name in ("stop_reason", "stop_details", "stop_sequence") if name in more}
    return events(*message["content"], **stop) if lane in STREAMS else http(200, message)
