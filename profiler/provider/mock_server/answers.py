"""What is answered: prepared answers where there are some, else what the deterministic mock makes up.

Comes in: a checked request. Goes out: a message as the provider would write it, whole or as the events of a stream.
The same request always gets the same message; with the dataset at hand it is what `--mode mock` answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from profiler.core.json import dumps
from profiler.core.nouns import Dialogue, Params, Reply, Request, RequestLine
from profiler.dataset import file
from profiler.manifest.settings import MockSettings
from profiler.provider.mock import MockClient
from profiler.provider.mock_server.requests import NewMessage, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from profiler.provider.mock_server.requests import Prompt

CHARACTERS_PER_TOKEN = 4
CHARACTERS_PER_DELTA = 24
THOUGHT = "The question is clear, so I answer it directly."
SIGNATURE = "bW9jay1zaWduYXR1cmU="
ENOUGH_TOKENS = 1 << 30
NO_LINE = RequestLine("", 0, "", None, 1, {}, "")  # the mock writes no log

USAGE = {
    "input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 0,
    "service_tier": "standard",
}

REFUSAL = {"type": "refusal", "category": "general_harms", "explanation": None}


class _Said(NamedTuple):
    text: str
    stop_reason: str | None
    tokens: int
    stop_sequence: str | None = None


class Answers:
    """Messages for requests. A dataset says which dialogue a text belongs to, what is to be found and refused."""

    def __init__(self, *, seed: int = 0, responses_path: Path | None = None, dataset_path: Path | None = None) -> None:
        self._mock = MockClient(MockSettings(seed=seed, responses_path=responses_path))
        self._by_id: dict[str, Dialogue] = {}
        self._by_text: dict[str, Dialogue] = {}
        self._by_opening: dict[str, Dialogue] = {}
        if dataset_path is not None:
            for dialogue in file.read(dataset_path):
                self._by_id[dialogue.dialogue_id] = dialogue
                if dialogue.turns is not None:
                    self._by_opening.setdefault(dialogue.turns[0], dialogue)
                else:
                    self._by_text.setdefault(_last_text(dialogue), dialogue)

    def dialogue(self, prompt: Prompt, *, named: str | None) -> Dialogue:
        """The dialogue named by a header, else the one whose text was sent, else one that is named by its text."""
        last, first = prompt.asked()
        if named is not None:
            return self._by_id.get(named) or Dialogue(dialogue_id=named, user=last)
        known = self._by_text.get(last) or self._by_opening.get(first)
        return known or Dialogue(dialogue_id=last, user=last)

    def knows(self, dialogue: Dialogue) -> bool:
        return dialogue.dialogue_id in self._by_id

    def message(self, wanted: NewMessage, dialogue: Dialogue, *, digest: str) -> dict[str, Any]:
        reply = self._reply(wanted, dialogue, max_tokens=wanted.max_tokens)
        usage = {**USAGE, **reply.usage}
        said = _fit(wanted, _Said(reply.completion, reply.stop_reason, usage["output_tokens"]))
        usage["output_tokens"] = said.tokens
        content = [{"type": "text", "text": said.text}]
        if thinking_tokens := _thinking_tokens(wanted):
            content.insert(0, {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE})
            usage["output_tokens"] += thinking_tokens
            usage["output_tokens_details"] = {"thinking_tokens": thinking_tokens}
        return {
            "id": f"msg_{digest[:24]}",
            "type": "message",
            "role": "assistant",
            "model": wanted.model,
            "content": content,
            "stop_reason": said.stop_reason,
            "stop_sequence": said.stop_sequence,
            "stop_details": REFUSAL if said.stop_reason == "refusal" else None,
            "usage": usage,
        }

    def input_tokens(self, prompt: Prompt, dialogue: Dialogue) -> int:
        """What a message for this prompt says in its usage."""
        tokens: int = self._reply(prompt, dialogue, max_tokens=ENOUGH_TOKENS).usage.get("input_tokens", 0)
        return tokens

    def _reply(self, prompt: Prompt, dialogue: Dialogue, *, max_tokens: int) -> Reply:
        temperature = prompt.temperature if isinstance(prompt, NewMessage) else None
        return self._mock.reply(
            Request(
                index=0,
                dialogue=dialogue,
                params=Params(model=prompt.model, max_tokens=max_tokens, temperature=temperature),
                body=prompt.content(),
                line=NO_LINE,
                turn=prompt.turn if dialogue.turns is not None or not self.knows(dialogue) else 0,
            )
        )


def _fit(wanted: NewMessage, said: _Said) -> _Said:
    """Cut at the first stop sequence, then at what max_tokens leaves beside the thinking."""
    stops = [(said.text.find(stop), stop) for stop in wanted.stop_sequences or () if stop and stop in said.text]
    if stops:
        end, stop = min(stops)
        said = _Said(said.text[:end], "stop_sequence", min(said.tokens, 1 + end // CHARACTERS_PER_TOKEN), stop)
    room = wanted.max_tokens - _thinking_tokens(wanted)
    if said.tokens <= room:
        return said
    if len(said.text) <= room * CHARACTERS_PER_TOKEN:
        return said._replace(tokens=room)
    return _Said(said.text[: room * CHARACTERS_PER_TOKEN], "max_tokens", room)


def _thinking_tokens(wanted: NewMessage) -> int:
    thinks = wanted.thinking is not None and wanted.thinking.get("type") in ("enabled", "adaptive")
    return min(len(THOUGHT) // CHARACTERS_PER_TOKEN, wanted.max_tokens) if thinks else 0


def _last_text(dialogue: Dialogue) -> str:
    return text_of(dialogue.messages[-1].content) if dialogue.messages is not None else dialogue.user or ""


def events(message: dict[str, Any]) -> Iterator[bytes]:
    """The events in which a message is streamed."""
    usage = message["usage"]
    opening = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    yield event("message_start", message={**opening, "usage": {**usage, "output_tokens": 1}})
    for index, block in enumerate(message["content"]):
        yield from _block_events(index, block)
    ending = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    totals = {name: value for name, value in usage.items() if name.endswith(("_tokens", "_details"))}
    yield event("message_delta", delta=ending, usage=totals)
    yield event("message_stop")


def _block_events(index: int, block: dict[str, Any]) -> Iterator[bytes]:
    kind = block["type"]
    empty = {"type": kind, kind: "", **({"signature": ""} if kind == "thinking" else {})}
    yield event("content_block_start", index=index, content_block=empty)
    if index == 0:
        yield event("ping")
    said = block[kind]
    for start in range(0, len(said), CHARACTERS_PER_DELTA):
        delta = {"type": f"{kind}_delta", kind: said[start : start + CHARACTERS_PER_DELTA]}
        yield event("content_block_delta", index=index, delta=delta)
    if kind == "thinking":
        yield event(
            "content_block_delta", index=index, delta={"type": "signature_delta", "signature": block["signature"]}
        )
    yield event("content_block_stop", index=index)


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), dumps({"type": kind, **fields}))
