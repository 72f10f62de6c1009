"""Ends an answer where the request says: at a stop sequence, and at `max_tokens`, in the middle of JSON if need be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from profiler.core.json import dumps
from profiler.core.nouns import CHARACTERS_PER_TOKEN

if TYPE_CHECKING:
    from collections.abc import Sequence


class Fitted(NamedTuple):
    """What is left of the blocks, and why it ends before its time, if it does."""

    blocks: list[dict[str, Any]]
    tokens: int
    stop_reason: str | None = None
    stop_sequence: str | None = None


def tokens_of_text(text: str) -> int:
    return 1 + len(text) // CHARACTERS_PER_TOKEN


def tokens_of(block: dict[str, Any]) -> int:
    if block["type"] == "text":
        return tokens_of_text(block["text"])
    return 1 + len(_written(block)) // CHARACTERS_PER_TOKEN


def _written(block: dict[str, Any]) -> str | bytes:
    match block["type"]:
        case "text" | "thinking":
            text: str = block[block["type"]]
            return text
        case "tool_use":
            return dumps(block["input"])
        case _:
            return dumps(block)


def fit(blocks: list[dict[str, Any]], *, stops: Sequence[str], room: int) -> Fitted:
    """The blocks up to the first stop sequence in a text, then up to so many tokens."""
    if len(blocks) == 1 and not stops and (needed := tokens_of(blocks[0])) <= room:  # nearly always
        return Fitted(blocks, needed)
    reason, sequence = None, None
    if stops:
        blocks, sequence = _until(blocks, stops)
        reason = "stop_sequence" if sequence is not None else None
    used = 0
    for at, block in enumerate(blocks):
        needed = tokens_of(block)
        left = room - used
        if needed <= left:
            used += needed
        elif len(_written(block)) <= left * CHARACTERS_PER_TOKEN and left > 0:
            used = room  # the whole text just fits, its last token is not full
        else:
            cut = [_cut(block, left * CHARACTERS_PER_TOKEN)] if left > 0 else []
            return Fitted([*blocks[:at], *cut], room, "max_tokens")
    return Fitted(blocks, used, reason, sequence)


def _until(blocks: list[dict[str, Any]], stops: Sequence[str]) -> tuple[list[dict[str, Any]], str | None]:
    for at, block in enumerate(blocks):
        if block["type"] != "text":
            continue
        found = [(block["text"].find(stop), stop) for stop in stops if stop in block["text"]]
        if found:
            end, stop = min(found)
            return [*blocks[:at], block | {"text": block["text"][:end]}], stop
    return blocks, None


def _cut(block: dict[str, Any], characters: int) -> dict[str, Any]:
    match block["type"]:
        case "text" | "thinking":
            return block | {block["type"]: block[block["type"]][:characters]}
        case "tool_use":
            return block | {"input": _first_fields(block["input"], characters)}
        case _:
            return block


def _first_fields(given: dict[str, Any], characters: int) -> dict[str, Any]:
    """The fields that were written in full before the end came."""
    kept: dict[str, Any] = {}
    for name, value in given.items():
        if len(dumps(kept | {name: value})) > characters:
            break
        kept[name] = value
    return kept
