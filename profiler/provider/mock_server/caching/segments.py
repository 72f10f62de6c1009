"""A prompt as the cache sees it: one part after the other, tools first, then the system prompt, then the messages."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from profiler.core.json import encode
from profiler.core.nouns import CHARACTERS_PER_TOKEN
from profiler.provider.mock_server.reading.prompts import blocks_of
from profiler.provider.mock_server.reading.token_counts import lighten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.provider.mock_server.reading.prompts import Prompt


class Segment(NamedTuple):
    """The end of one part: what stands before it, and how many tokens that is."""

    level: str
    prefix: bytes  # a hash over everything up to here, the model included
    tokens: int  # of everything up to here
    ttl: str | None  # where a breakpoint is


def segments(prompt: Prompt) -> list[Segment]:
    """All parts of a prompt in order. Two prompts share their beginning as far as their prefixes are equal."""
    prefix = blake2b(f"{prompt.model} {prompt.speed}".encode(), digest_size=16).digest()
    characters = media = 0
    found: list[Segment] = []
    for level, name, block in _parts(prompt):
        lean, tokens = lighten(block)
        written = encode(lean)
        characters, media = characters + len(written), media + tokens
        prefix = blake2b(prefix + level.encode() + name.encode() + written, digest_size=16).digest()
        found.append(Segment(level, prefix, characters // CHARACTERS_PER_TOKEN + media, _ttl(block)))
    if prompt.cache_control and found:  # marks the last part, and moves on with the conversation
        found[-1] = found[-1]._replace(ttl=prompt.cache_control.get("ttl", "5m"))
    return found


def _parts(prompt: Prompt) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for tool in prompt.tools or ():
        yield "tools", "", tool
    for block in blocks_of(prompt.system):
        yield "system", "", block
    settings = {"thinking": prompt.thinking, "tool_choice": prompt.tool_choice}
    if any(settings.values()):  # these change what is read of the messages, and cost nothing themselves
        yield "settings", str(settings), {}
    for said in prompt.messages:
        for block in blocks_of(said.content):
            yield "messages", said.role, block


def _ttl(block: dict[str, Any]) -> str | None:
    """A mark on the block, or on one inside it, as a tool result may hold."""
    inner = block.get("content")
    marks = [each.get("cache_control") for each in inner if isinstance(each, dict)] if isinstance(inner, list) else []
    mark = next(filter(None, [block.get("cache_control"), *reversed(marks)]), None)
    return mark.get("ttl") or "5m" if mark else None
