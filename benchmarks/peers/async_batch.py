"""async-batch-llm with its checkpoint store and streamed results, over the official SDK: it has no client for Claude."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from anthropic import AsyncAnthropic
from async_batch_llm import (
    ArtifactIdentity,
    CallableStrategy,
    CallOutcome,
    JsonlArtifactStore,
    ProcessorConfig,
    ResumePolicy,
    process_stream,
)

from benchmarks.peers import legs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers.legs import Leg

QUEUE_PER_WORKER = 4


async def ask(leg: Leg) -> None:
    identity = ArtifactIdentity(provider="anthropic", model=leg.model)
    store = JsonlArtifactStore(f"{leg.answers}.store", identity=identity)
    bound = QUEUE_PER_WORKER * leg.in_flight
    config = ProcessorConfig(concurrency=leg.in_flight, max_queue_size=bound, max_result_queue_size=bound)
    async with AsyncAnthropic(api_key=legs.KEY, base_url=leg.base_url, max_retries=0, timeout=legs.PATIENCE_S) as sdk:

        async def call(prompt: str, **_: Any) -> CallOutcome[str]:
            system, user = prompt.split("\0")  # the library takes one text; no dialogue contains a zero
            reply = await sdk.messages.create(**leg.request({"system": system, "user": user}))
            spent = {"input_tokens": reply.usage.input_tokens, "output_tokens": reply.usage.output_tokens}
            spent["total_tokens"] = sum(spent.values())
            return CallOutcome(reply.content[0].text, token_usage=spent)

        with Path(leg.answers).open("w", encoding="utf-8") as file:
            async for result in process_stream(
                CallableStrategy(call, identity=identity),
                _prompts(leg),
                config=config,
                artifact_store=store,
                resume=ResumePolicy.REUSE_SUCCESSES,
            ):
                legs.write_answer(file, result.item_id, result.output if result.success else str(result.error))


def _prompts(leg: Leg) -> Iterator[tuple[str, str]]:
    for dialogue in leg.dialogues():
        yield dialogue["dialogue_id"], f"{dialogue['system']}\0{dialogue['user']}"


if __name__ == "__main__":
    legs.run_async(ask)
