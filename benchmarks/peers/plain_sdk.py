"""The loop that everybody writes first: the official SDK, a number of workers, and a line written for each answer.

It cannot resume, keeps no journal, counts nothing, and loses everything when it is killed. The SDK's pool is as large
as the number of calls in flight; its retries are off, as nothing fails here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anthropic import AsyncAnthropic

from benchmarks.peers import legs

if TYPE_CHECKING:
    from benchmarks.peers.legs import Leg


async def ask(leg: Leg) -> None:
    async with AsyncAnthropic(api_key=legs.KEY, base_url=leg.base_url, max_retries=0, timeout=legs.PATIENCE_S) as sdk:

        async def one(dialogue: dict[str, Any]) -> str:
            if turns := dialogue.get("turns"):
                return await conversation(dialogue, turns)
            reply = await sdk.messages.create(**leg.request(dialogue))
            return "".join(block.text for block in reply.content if block.type == "text")

        async def conversation(dialogue: dict[str, Any], turns: list[str]) -> str:
            said: list[dict[str, str]] = []
            for turn in turns:
                said.append({"role": "user", "content": turn})
                body = {**leg.request({**dialogue, "user": turn}), "messages": said}
                reply = await sdk.messages.create(**body)
                text = "".join(block.text for block in reply.content if block.type == "text")
                said.append({"role": "assistant", "content": text})
            return said[-1]["content"]

        await legs.ask_all(leg, one)


if __name__ == "__main__":
    legs.run_async(ask)
