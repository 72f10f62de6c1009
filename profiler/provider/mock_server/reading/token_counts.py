"""How many tokens a prompt has, estimated: four characters of JSON each, and pictures and documents by their size.

What is counted does not depend on how a client writes its JSON, on streaming, or on what is marked for the cache.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Any

from profiler.core.image_size import image_size
from profiler.core.json import encode
from profiler.core.nouns import CHARACTERS_PER_TOKEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.provider.mock_server.reading.prompts import Prompt

PIXELS_PER_TOKEN = 750
LONGEST_EDGE = 1568  # larger pictures are made smaller before the model sees them
UNSEEN_IMAGE = 1600  # a picture whose size is not known: about the most that one costs
TOKENS_PER_PAGE = 2000
_PAGE = re.compile(rb"/Type\s*/Page(?![a-zA-Z])")


def count(prompt: Prompt) -> int:
    """The input tokens of a prompt."""
    if prompt.plain:
        return count_plain(prompt.system, prompt.messages)
    messages = [{"role": said.role, "content": said.content} for said in prompt.messages]
    counted: dict[str, Any] = {"system": prompt.system, "messages": messages}
    further = {"tools": prompt.tools, "mcp_servers": prompt.mcp_servers, "schema": prompt.schema}
    lean, media = lighten(counted | {name: value for name, value in further.items() if value})
    return 1 + len(encode(lean)) // CHARACTERS_PER_TOKEN + media


def count_plain(system: Any, messages: Sequence[Any]) -> int:
    """The same, where there is nothing but texts."""
    return 1 + len(encode({"system": system, "messages": messages})) // CHARACTERS_PER_TOKEN


def lighten(value: Any) -> tuple[Any, int]:
    """The value without what is sent along as base64 and without marks for the cache, and the tokens of the former."""
    if isinstance(value, list):
        parts = [lighten(each) for each in value]
        return [part for part, _ in parts], sum(tokens for _, tokens in parts)
    if not isinstance(value, dict):
        return value, 0
    if value.get("type") in ("image", "document") and isinstance(source := value.get("source"), dict):
        lean, tokens = lighten({name: each for name, each in value.items() if name != "source"})
        lean_source, media = _source(source, kind=value["type"])
        return lean | {"source": lean_source}, tokens + media
    named = {name: lighten(each) for name, each in value.items() if name != "cache_control"}
    return {name: part for name, (part, _) in named.items()}, sum(tokens for _, tokens in named.values())


def _source(source: dict[str, Any], *, kind: str) -> tuple[dict[str, Any], int]:
    lean = {name: each for name, each in source.items() if name != "data"}
    match source.get("type"):
        case "base64":
            data = _decoded(source.get("data", ""))
            return lean, image_tokens(data) if kind == "image" else pdf_tokens(data)
        case "url" | "file":
            return lean, UNSEEN_IMAGE if kind == "image" else TOKENS_PER_PAGE
        case _:
            return lighten(source)


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text)
    except (Base64Error, ValueError):
        return b""


def image_tokens(data: bytes) -> int:
    size = image_size(data)
    if size is None:
        return UNSEEN_IMAGE
    scale = min(1.0, LONGEST_EDGE / max(size))
    width, height = (round(edge * scale) for edge in size)
    return max(1, width * height // PIXELS_PER_TOKEN)


def pdf_tokens(data: bytes) -> int:
    return max(1, len(_PAGE.findall(data))) * TOKENS_PER_PAGE
