"""litellm in the plain loop: `acompletion` to the same server, as the Anthropic provider."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # otherwise the import fetches prices from the network

import litellm

from benchmarks.peers import legs

if TYPE_CHECKING:
    from benchmarks.peers.legs import Leg


async def ask(leg: Leg) -> None:
    async def one(dialogue: dict[str, Any]) -> str:
        messages = [{"role": "system", "content": dialogue["system"]}, {"role": "user", "content": dialogue["user"]}]
        reply = await litellm.acompletion(
            model=f"anthropic/{leg.model}",
            messages=messages,
            max_tokens=leg.max_tokens,
            api_base=leg.base_url,
            api_key=legs.KEY,
            num_retries=0,
            timeout=legs.PATIENCE_S,
        )
        text: str = reply.choices[0].message.content
        return text

    await legs.ask_all(leg, one)


if __name__ == "__main__":
    legs.run_async(ask)
