"""Bare aiohttp: one session and a number of workers, with one decode and one line written for each answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from benchmarks.peers import legs

if TYPE_CHECKING:
    from benchmarks.peers.legs import Leg

HEADERS = {"x-api-key": legs.KEY, "content-type": "application/json"}


async def ask(leg: Leg) -> None:
    url = f"{leg.base_url}/v1/messages"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=HEADERS) as session:

        async def one(dialogue: dict[str, Any]) -> str:
            async with session.post(url, data=orjson.dumps(leg.request(dialogue))) as reply:
                text: str = orjson.loads(await reply.read())["content"][0]["text"]
                return text

        await legs.ask_all(leg, one)


if __name__ == "__main__":
    legs.run_async(ask)
