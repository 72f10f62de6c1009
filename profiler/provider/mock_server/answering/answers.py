"""Makes the message that answers a checked request: a prepared one, else a tool call, JSON for a schema, or a text.

Everything is drawn from the seed and the request, so the same request always gets the same message. With the dataset at
hand the text is what `--mode mock` answers, so that a live run against this server can be compared with a mock run.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec

from profiler.provider.inventing.answers import invent, seed_of
from profiler.provider.inventing.fitting import fit
from profiler.provider.inventing.schema_values import NoValue
from profiler.provider.mock import echo, made_up, salt_of
from profiler.provider.mock_server.answering.lengths import drawn_length, stretched
from profiler.provider.mock_server.settings import invalid

if TYPE_CHECKING:
    from profiler.core.nouns import Dialogue
    from profiler.provider.mock_server.answering.prepared import Entry
    from profiler.provider.mock_server.reading.models import Model
    from profiler.provider.mock_server.reading.prompts import NewMessage
    from profiler.provider.mock_server.settings import ServerSettings

THOUGHT = "The question is clear, so I answer it directly."
THOUGHT_TOKENS = len(THOUGHT) // 4
SIGNATURE = "bW9jay1zaWduYXR1cmU="
LIMITLESS = 1 << 40
SALTS = 1024  # models, temperatures and variations

USAGE: dict[str, Any] = {
    "input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": None,
    "server_tool_use": None,
    "service_tier": "standard",
    "speed": None,
    "inference_geo": None,
    "iterations": None,
    "fallback_credit": None,
}
REFUSAL = {"type": "refusal", "category": "general_harms", "explanation": None}


class Asked(msgspec.Struct, frozen=True):
    """A checked request with all that its answer depends on."""

    wanted: NewMessage
    takes: Model
    dialogue: Dialogue
    of_dataset: bool
    digest: str  # of the request, for the id of the message
    variation: int = 0  # which of the possible answers


class _Draft(msgspec.Struct, frozen=True):
    """An answer before it is cut to what the request leaves room for."""

    blocks: list[dict[str, Any]]
    stop_reason: str
    usage: dict[str, Any]
    stop_details: dict[str, Any] | None = None


class Answers:
    """Messages for requests."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._salt = lru_cache(SALTS)(self._salt_of)

    def message(self, asked: Asked, entry: Entry | None) -> dict[str, Any]:
        """The whole message. The cache has no say in it yet: all input tokens are counted as new ones."""
        wanted = asked.wanted
        draft = self._made_up(asked) if entry is None else _prepared(entry, asked)
        thought = _thought(asked, draft)
        thinking_tokens = min(THOUGHT_TOKENS, wanted.max_tokens) if thought else 0
        room = wanted.max_tokens - thinking_tokens
        given = draft.usage.get("output_tokens")
        # a prepared answer says itself how long it is, whatever its characters
        fitted = fit(
            draft.blocks, stops=wanted.stop_sequences or (), room=room if (given or room) >= room else LIMITLESS
        )
        usage = {**USAGE, "input_tokens": wanted.input_tokens, **draft.usage}
        usage["output_tokens"] = fitted.tokens if fitted.stop_reason or given is None else min(given, room)
        if thought is not None:
            usage["output_tokens"] += thinking_tokens
            usage["output_tokens_details"] = {"thinking_tokens": thinking_tokens}
        stop_reason = fitted.stop_reason or draft.stop_reason
        message = message_of(
            [thought, *fitted.blocks] if thought is not None else fitted.blocks,
            name=asked.digest,
            model=wanted.model,
            stop_reason=stop_reason,
            usage=usage,
        )
        message["stop_sequence"] = fitted.stop_sequence
        if stop_reason == "refusal":
            message["stop_details"] = draft.stop_details or REFUSAL
        return message

    def _made_up(self, asked: Asked) -> _Draft:
        wanted, settings = asked.wanted, self._settings
        if wanted.plain and wanted.max_tokens and not settings.output_tokens:  # most of all traffic
            return self._said(asked)
        if wanted.max_tokens == 0:  # a request that only warms the cache
            return _Draft([], "max_tokens", {})
        if wanted.compaction is not None:
            return _Draft([_compaction(wanted)], "compaction", {})
        random = Random(self._seed_of(asked))  # noqa: S311 (nothing here is a secret)
        if wanted.tools or wanted.schema is not None:
            try:
                found = invent(wanted, wanted.schema, random, rate=settings.tool_rate)
            except NoValue:
                raise invalid("output_config.format.schema: no value fits this schema") from None
            if found is not None:
                return _Draft(*found, {})
        said = self._said(asked)
        if settings.output_tokens and said.stop_reason != "refusal":
            length = drawn_length(random, median=settings.output_tokens, sigma=settings.output_sigma)
            said.blocks[0]["text"] = stretched(said.blocks[0]["text"], length, random)
        return said

    def _said(self, asked: Asked) -> _Draft:
        """What the mock of a manifest says to it."""
        wanted, dialogue = asked.wanted, asked.dialogue
        salt = self._salt(asked.variation, wanted.model, wanted.temperature)
        text, stop_reason = made_up(dialogue, salt=salt, turn=_turn(asked))
        if text is None:
            text = echo(dialogue.user or wanted.messages[-1].content)
        return _Draft([text_block(text)], stop_reason, {})

    def _salt_of(self, variation: int, model: str, temperature: float | None) -> int:
        seed = self._settings.seed
        seed = crc32(f"{seed} {variation}".encode()) if variation else seed
        return salt_of(seed, model=model, temperature=temperature)

    def _seed_of(self, asked: Asked) -> int:
        return seed_of(
            self._settings.seed,
            model=asked.wanted.model,
            turn=asked.wanted.turn,
            variation=asked.variation,
            dialogue_id=asked.dialogue.dialogue_id,
        )


def message_of(
    content: list[dict[str, Any]], *, name: str, model: str, stop_reason: str, usage: dict[str, Any]
) -> dict[str, Any]:
    """Every key that a message has, for strict decoders want those too that are null. `name` makes its id."""
    return {
        "id": f"msg_{name[:24]}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "diagnostics": None,
        "context_management": None,
        "usage": usage,
    }


def _turn(asked: Asked) -> int:
    """Which turn of its conversation is answered; a dialogue of the dataset that has no turns is asked only once."""
    return asked.wanted.turn if asked.dialogue.turns is not None or not asked.of_dataset else 0


def _prepared(entry: Entry, asked: Asked) -> _Draft:
    usage = entry.usage or {}
    if asked.wanted.max_tokens == 0:
        return _Draft([], "max_tokens", usage)
    if entry.content is not None:
        blocks = [_completed(block, at, asked.digest) for at, block in enumerate(entry.content)]
        usual = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
        return _Draft(blocks, entry.stop_reason or usual, usage, entry.stop_details)
    turn = _turn(asked)
    text = entry.replies[turn] if turn < len(entry.replies) else entry.completion or ""
    return _Draft([text_block(text)], entry.stop_reason or "end_turn", usage, entry.stop_details)


def _completed(block: dict[str, Any], at: int, digest: str) -> dict[str, Any]:
    """A block as the API sends it, where the file left out what nobody wants to write."""
    match block["type"]:
        case "text":
            return {"citations": None, **block}
        case "tool_use":
            usual = {
                "id": f"toolu_{digest[:22]}{at:02d}",
                "input": {},
                "caller": {"type": "direct"},
                "toolset_name": None,
            }
            return usual | block
        case "thinking":
            return {"signature": SIGNATURE, **block}
        case _:
            return block


def _compaction(wanted: NewMessage) -> dict[str, Any]:
    summary = f"Summary of {len(wanted.messages)} messages; the last one asked: {wanted.asked()[0][:200]}"
    return {
        "type": "compaction",
        "content": summary,
        "encrypted_content": None,
        "signature": SIGNATURE,
        "tool_changes": [],
    }


def text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "citations": None}


def _thought(asked: Asked, draft: _Draft) -> dict[str, Any] | None:
    """The block that a thinking model begins with; where its text is not wanted, only the signature is in it."""
    given = asked.wanted.thinking
    if given is None and not asked.takes.thinks:
        return None
    kind = given["type"] if given is not None else "adaptive"
    if kind not in ("adaptive", "enabled") or not draft.blocks or draft.blocks[0]["type"] == "thinking":
        return None
    usual = "summarized" if "enabled" in asked.takes.thinking else "omitted"
    shown = ((given or {}).get("display") or usual) == "summarized"
    return {"type": "thinking", "thinking": THOUGHT if shown else "", "signature": SIGNATURE}
