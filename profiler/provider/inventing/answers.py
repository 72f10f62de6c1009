"""Answers to requests that ask for more than a text: a call of a tool, or JSON for a schema."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import msgspec

from profiler.core.json import dumps
from profiler.provider.inventing import tool_calls
from profiler.provider.inventing.fitting import fit
from profiler.provider.inventing.schema_values import NoValue, draw

if TYPE_CHECKING:
    from profiler.core.nouns import Request
    from profiler.provider.inventing.tool_calls import Said

CALLS_OF_AUTO = 0.5  # how often a tool is called by a model that may choose; the mock server's default too


class _OutputConfig(msgspec.Struct, frozen=True):
    format: dict[str, Any] | None = None


class _Asked(msgspec.Struct, frozen=True):
    """What a request asks for besides a text."""

    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    output_config: _OutputConfig | None = None
    messages: tuple[Any, ...] = ()  # those of the dialogue, and not of the body


class Invented(NamedTuple):
    """An answer as blocks, how many tokens it has, and why it ends."""

    blocks: list[dict[str, Any]]
    tokens: int
    stop_reason: str


def seed_of(seed: int, *, model: str, turn: int, variation: int, dialogue_id: str) -> int:
    """The seed of all that is drawn for one answer."""
    return crc32(f"{seed} {model} {turn} {variation} {dialogue_id}".encode("utf-8", "surrogatepass"))


def invent(
    prompt: tool_calls.Prompt, schema: Any, random: Random, *, rate: float
) -> tuple[list[dict[str, Any]], str] | None:
    """Blocks and stop reason; None where neither a tool is called nor a schema is to be fitted. Raises `NoValue`."""
    if prompt.tools and (called := tool_calls.calls(prompt, random, rate=rate)):
        return called, "tool_use"
    if schema is None:
        return None
    return [{"type": "text", "text": dumps(draw(schema, random)).decode(), "citations": None}], "end_turn"


def answer(request: Request, *, seed: int) -> Invented | None:
    """What the mock answers to a request of a run; None where a text is asked for, and where no value fits."""
    asked = msgspec.json.decode(request.line.request or b"{}", type=_Asked)
    if not asked.tools and not (asked.output_config and asked.output_config.format):
        return None
    said: tuple[Said, ...] = request.dialogue.messages or ()
    turn = request.turn + sum(each.role == "assistant" for each in said)
    drawn = seed_of(
        seed,
        model=request.params.model,
        turn=turn,
        variation=request.repeat or 0,
        dialogue_id=request.dialogue.dialogue_id,
    )
    schema = asked.output_config.format["schema"] if asked.output_config and asked.output_config.format else None
    try:
        found = invent(
            msgspec.structs.replace(asked, messages=said),
            schema,
            Random(drawn),  # noqa: S311 (nothing here is a secret)
            rate=CALLS_OF_AUTO,
        )
    except NoValue:
        return None
    if found is None:
        return None
    blocks, stop_reason = found
    fitted = fit(blocks, stops=request.params.stop_sequences, room=request.params.max_tokens)
    return Invented(fitted.blocks, fitted.tokens, fitted.stop_reason or stop_reason)
