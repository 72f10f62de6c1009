"""Turns a model's reply into content blocks that may be sent back to it and written to files, or raises `BadOutput`.

Nothing that a model writes may break the conversation: otherwise an agent that is about to lose could end its episode
without a verdict.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from profiler.core.json import dumps
from task_kit.leakage_modeling.worker.plain_text import clean, clean_value

if TYPE_CHECKING:
    from profiler.core.nouns import Reply

LARGEST_REPLY = 1 << 20  # bytes; a reply of a thousand tokens has a few thousand
MOST_CALLS = 32
WORD = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")  # what the API accepts as the name of a tool or the id of a call
NOT_OF_A_WORD = re.compile(r"[^a-zA-Z0-9_-]")

Block = dict[str, Any]


class BadOutput(Exception):
    """A reply after which no conversation can go on; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call. `name` may be sent back; `asked_for` is what the model really wrote."""

    id: str
    name: str
    asked_for: str
    given: Any

    def block(self) -> Block:
        given = self.given if isinstance(self.given, dict) else {"input": self.given}
        return {"type": "tool_use", "id": self.id, "name": self.name, "input": given}


def content_of(reply: Reply, *, taken: set[str]) -> list[Block | Call]:
    """Blocks that may be sent back, and calls. The ids of the calls are added to `taken`."""
    raw = reply.content if isinstance(reply.content, list) else [{"type": "text", "text": reply.completion}]
    found = [part for block in raw if (part := _part(block, taken=taken)) is not None]
    if sum(isinstance(part, Call) for part in found) > MOST_CALLS:
        raise BadOutput(f"found more than {MOST_CALLS} calls of tools in one reply")
    try:
        size = len(dumps([part.block() if isinstance(part, Call) else part for part in found]))
    except (TypeError, ValueError) as error:
        raise BadOutput(f"found a reply that cannot be written as JSON: {clean(str(error), most=200)}") from error
    if size > LARGEST_REPLY:
        raise BadOutput(f"found a reply of {size:,} bytes, expected at most {LARGEST_REPLY:,}")
    return found


def call_of(name: Any, given: Any, *, id: Any, taken: set[str]) -> Call:  # noqa: A002 (the API's own word)
    """A call whose name and id may be sent back, whatever the model wrote."""
    asked_for = clean(name if isinstance(name, str) else type(name).__name__, most=200)
    return Call(
        id=_fresh_id(id, taken=taken),
        name=asked_for if WORD.match(asked_for) else NOT_OF_A_WORD.sub("_", asked_for)[:64] or "unnamed",
        asked_for=asked_for,
        given=clean_value(given),
    )


def _part(block: Any, *, taken: set[str]) -> Block | Call | None:
    """None for what need not be sent back: empty texts, which the provider refuses, and other kinds of blocks."""
    if not isinstance(block, dict):
        return None
    match block.get("type"):
        case "text":
            text = clean(block["text"]) if isinstance(block.get("text"), str) else ""
            return {"type": "text", "text": text} if text.strip() else None
        case "tool_use":
            return call_of(block.get("name"), block.get("input"), id=block.get("id"), taken=taken)
        case "thinking":
            return _unchanged(block, "thinking", "signature")
        case "redacted_thinking":
            return _unchanged(block, "data")
        case _:
            return None


def _unchanged(block: Block, *fields: str) -> Block | None:
    """A signed block, which goes back exactly as it came, or not at all."""
    values = {name: block.get(name) for name in fields}
    if not all(isinstance(value, str) and _is_well_formed(value) for value in values.values()):
        return None
    return {"type": block["type"], **values}


def _is_well_formed(text: str) -> bool:
    return text.encode("utf-8", "replace").decode() == text


def _fresh_id(found: Any, *, taken: set[str]) -> str:
    """The id of a call, or a new one if it is invalid or was used before."""
    chosen = found if isinstance(found, str) and WORD.match(found) and found not in taken else ""
    number = len(taken)
    while not chosen or chosen in taken:
        chosen, number = f"call_{number}", number + 1
    taken.add(chosen)
    return chosen
