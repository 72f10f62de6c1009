"""Bare pyreqwest, a client in Rust: a number of workers, with one decode and one line written for each answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from pyreqwest.client import ClientBuilder

from benchmarks.peers import legs

if TYPE_CHECKING:
    from benchmarks.peers.legs import Leg

HEADERS = {"x-api-key": legs.KEY, "content-type": "application/json"}


async def ask(leg: Leg) -> None:
    url = f"{leg.base_url}/v1/messages"
    async with ClientBuilder().no_proxy().default_headers(HEADERS).build() as client:

        async def one(dialogue: dict[str, Any]) -> str:
            body = orjson.dumps(leg.request(dialogue))
            reply = await client.post(url).body_bytes(body).build().send()
            text: str = (await reply.json())["content"][0]["text"]  # decoded in Rust
            return text

        await legs.ask_all(leg, one)


if __name__ == "__main__":
    legs.run_async(ask)
