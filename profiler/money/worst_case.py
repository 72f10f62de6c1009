"""The most that a request, or all turns of a dialogue, can cost, known before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from profiler.core.nouns import Request
    from profiler.money.prices import Ceiling

IMAGE_TOKENS = 8_000  # more than any documented model makes of its largest image (4,784)
LARGEST_WINDOW = 1_000_000  # the longest prompt that any known model takes
CACHED = b'"cache_control"'  # only a setting can look like this in the body: within a text the quotes would be escaped
REPLY_FRAME = 64  # bytes of JSON around a turn and its reply


def worst_case(ceiling: Ceiling, request: Request, *, window: int | None = None) -> int:
    """The most that one call can cost."""
    return ceiling.most(
        prompt=prompt_bound(request, window=window),
        output=request.params.max_tokens,
        cached=CACHED in request.body,
    )


def prompt_bound(request: Request, *, window: int | None = None) -> int:
    """A number that the input tokens of a request cannot exceed.

    A token stands for one byte of text or more, and the JSON around a message is longer than what the model reads
    around it. Images count by their number, documents as the whole context window.
    """
    size = len(request.body)
    if request.dialogue.messages is None:
        return size
    contents = (message.content for message in request.dialogue.messages)
    blocks = (block for content in contents if not isinstance(content, str) for block in content)
    return size + _media(blocks, window=window or LARGEST_WINDOW)


def _media(blocks: Iterable[Any], *, window: int) -> int:
    """What blocks add to the bytes of the body. The bytes of an image are taken off, as they are not read as text."""
    extra = 0
    for block in blocks:
        kind, source = block.get("type"), block.get("source")
        source = source if isinstance(source, dict) else {}
        if kind == "image":
            data = source.get("data")
            extra += IMAGE_TOKENS - (len(data) if isinstance(data, str) else 0)
        elif kind == "tool_result" and isinstance(block.get("content"), list):
            extra += _media(block["content"], window=window)
        elif kind != "text" and source.get("type") != "text" and kind not in ("tool_use", "tool_result", "thinking"):
            extra += window
    return extra


def dialogue_most(ceiling: Ceiling, request: Request, *, window: int | None = None, attempts: int = 1) -> int:
    """The most that all turns of a dialogue can cost, given its first request."""
    output, cached = request.params.max_tokens, CACHED in request.body
    prompt = prompt_bound(request, window=window)
    total = ceiling.most(prompt=prompt, output=output, cached=cached)
    for text in (request.dialogue.turns or ())[1:]:
        # A later prompt holds the earlier replies, each at most `max_tokens` long.
        prompt += output + len(text.encode()) + REPLY_FRAME
        total += ceiling.most(prompt=prompt, output=output, cached=cached)
    return total * attempts
