"""A message as the events in which it is streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.core.json import dumps

if TYPE_CHECKING:
    from collections.abc import Iterator

CHARACTERS_PER_DELTA = 24
TOLD_AGAIN = ("_tokens", "_details", "_tool_use", "iterations", "fallback_credit")  # of the usage, at the end


def events(message: dict[str, Any]) -> Iterator[tuple[bytes, int]]:
    """All events of a message, in order, each with the characters that the model wrote for it."""
    usage = message["usage"]
    opening = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    yield event("message_start", message={**opening, "usage": {**usage, "output_tokens": 1}}), 0
    cut_off = message["stop_reason"] == "max_tokens"
    for index, block in enumerate(message["content"]):
        last = index == len(message["content"]) - 1
        yield from _block_events(index, block, cut_off=cut_off and last)
    ending = {name: message[name] for name in ("container", "stop_reason", "stop_sequence", "stop_details")}
    totals = {name: value for name, value in usage.items() if name.endswith(TOLD_AGAIN)}
    edits = message.get("context_management")
    yield event("message_delta", delta=ending, usage=totals, context_management=edits), 0
    yield event("message_stop"), 0


def characters(message: dict[str, Any]) -> int:
    """All that the model wrote for the events of a message."""
    cut_off = message["stop_reason"] == "max_tokens"
    content = message["content"]
    parts = (_parts(block, cut_off=cut_off and block is content[-1])[1] for block in content)
    return sum(len(text) for deltas in parts for _, _, text in deltas)


def _block_events(index: int, block: dict[str, Any], *, cut_off: bool) -> Iterator[tuple[bytes, int]]:
    empty, deltas = _parts(block, cut_off=cut_off)
    yield event("content_block_start", index=index, content_block=empty), 0
    if index == 0:
        yield event("ping"), 0
    for kind, name, text in deltas:
        size = len(text) if kind == "signature_delta" else CHARACTERS_PER_DELTA  # nobody joins two of these
        opening, _, closing = event("content_block_delta", index=index, delta={"type": kind, name: 0}).rpartition(b"0")
        for start in range(0, len(text), size or 1):  # most of a stream: only what differs is written anew
            piece = text[start : start + size]
            yield b"%b%b%b" % (opening, dumps(piece), closing), len(piece)
    yield event("content_block_stop", index=index), 0


def _parts(block: dict[str, Any], *, cut_off: bool) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    """A block as it begins, and what is added to it: kind of delta, name of its field, text."""
    match block["type"]:
        case "text":
            return block | {"text": ""}, [("text_delta", "text", block["text"])]
        case "thinking":
            signature = ("signature_delta", "signature", block["signature"])
            return block | {"thinking": "", "signature": ""}, [
                ("thinking_delta", "thinking", block["thinking"]),
                signature,
            ]
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            written = dumps(block["input"]).decode() if block["input"] or cut_off else ""
            written = written[:-1] if cut_off else written  # a call that max_tokens cuts off is never closed
            return block | {"input": {}}, [("input_json_delta", "partial_json", written)]
        case _:
            return block, []  # results of tools that run at the provider come in one piece


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), dumps({"type": kind, **fields}))
