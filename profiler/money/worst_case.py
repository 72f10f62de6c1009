"""The most that a request, or all turns of a dialogue, can cost, known before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from profiler.core.nouns import Request
    from profiler.money.prices import Ceiling

IMAGE_TOKENS = 8_000  # more than any documented model makes of its largest image (4,784)
LARGEST_WINDOW = 1_000_000  # the longest prompt that any known model takes
CACHED = b'"cache_control"'  # only a setting can look like this in the body: within a text the quotes would be escaped
REPLY_FRAME = 64  # bytes of JSON around a turn and its reply
TOOLS = b'"tools":['  # the same holds for it
# What the API adds to a prompt and does not show: how tools are used, what form an answer must have (735 tokens is the most
# that is documented), and the definitions of tools that it knows by their type.
UNSEEN_PROMPT = 2_000
UNSEEN_TOOL = 10_000
RUN_BY_US = ("bash_", "text_editor_", "memory_", "computer_", "browser_")
# A tool that runs at the provider is called in a loop of at most so many rounds, each of which reads everything anew.
ROUNDS = 10
SEARCHES_A_ROUND = 10  # where a search tool does not say `max_uses`


def worst_case(ceiling: Ceiling, request: Request, *, window: int | None = None) -> int:
    """The most that one call can cost."""
    if _is_plain_text(request):  # as most are: nothing needs to be looked for in the body
        return ceiling.most(prompt=len(request.body), output=request.params.max_tokens, cached=False)
    most = ceiling.most(
        prompt=prompt_bound(request, window=window),
        output=request.params.max_tokens,
        cached=CACHED in request.body,
    )
    if TOOLS in request.body and (rounds := _rounds(request.body)):
        return most * rounds + ceiling.search * _searches(request.body)
    return most


def _is_plain_text(request: Request) -> bool:
    """Whether a request was planned from texts alone, with no settings but those that every line of requests.jsonl has."""
    dialogue = request.dialogue
    return (
        request.line.request is UNSET
        and request.params.cache is None
        and (dialogue.user is not None or dialogue.turns is not None)
    )


def prompt_bound(request: Request, *, window: int | None = None) -> int:
    """A number that the input tokens of a request cannot exceed.

    A token stands for one byte of text or more, and the JSON around a message is longer than what the model reads
    around it. Images count by their number, documents as the whole context window, and so does what tools that run at
    the provider may read.
    """
    size = len(request.body)
    if request.line.request is not UNSET or TOOLS in request.body:
        size += _unseen(request.body, window=window or LARGEST_WINDOW)
    if request.dialogue.messages is None:
        return size
    contents = (message.content for message in request.dialogue.messages)
    blocks = (block for content in contents if not isinstance(content, str) for block in content)
    return size + _media(blocks, window=window or LARGEST_WINDOW)


class _Tool(msgspec.Struct):
    type: str | None = None
    max_uses: int | None = None


class _Sent(msgspec.Struct):
    """The parts of a body that make the API add something to the prompt."""

    tools: list[_Tool] | None = None
    output_config: dict[str, Any] | None = None
    mcp_servers: Any = None
    container: Any = None


_decode = msgspec.json.Decoder(_Sent).decode


def _unseen(body: bytes, *, window: int) -> int:
    """How many tokens the API may add to the prompt by itself."""
    sent = _decode(body)
    tools = [tool.type for tool in sent.tools or () if tool.type not in (None, "custom")]
    size = UNSEEN_PROMPT * (bool(sent.tools) + bool((sent.output_config or {}).get("format"))) + UNSEEN_TOOL * len(
        tools
    )
    return size + window if _reads_more(sent) else size


def _reads_more(sent: _Sent) -> bool:
    """Whether something at the provider may put more into the prompt: a search, a page, the result of a program."""
    kinds = [tool.type for tool in sent.tools or () if tool.type not in (None, "custom")]
    return any(not kind.startswith(RUN_BY_US) for kind in kinds if kind) or bool(sent.mcp_servers or sent.container)


def _rounds(body: bytes) -> int:
    """How often the provider may ask the model within one call; 0 where no tool runs there."""
    return ROUNDS if _reads_more(_decode(body)) else 0


def _searches(body: bytes) -> int:
    tools = _decode(body).tools or ()
    uses = [tool.max_uses for tool in tools if tool.type and tool.type.startswith("web_search_")]
    return sum(ROUNDS * SEARCHES_A_ROUND if each is None else each for each in uses)


def _media(blocks: Iterable[Any], *, window: int) -> int:
    """How many tokens images and documents add. The bytes of an image count negatively: they are not read as text."""
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


def dialogue_most(ceiling: Ceiling, request: Request, *, window: int | None = None) -> int:
    """The most that all turns of a dialogue can cost, given its first request."""
    output, cached = request.params.max_tokens, CACHED in request.body
    prompt = prompt_bound(request, window=window)
    total = worst_case(ceiling, request, window=window)
    for text in (request.dialogue.turns or ())[1:]:
        # A later prompt holds the earlier replies, each at most `max_tokens` long.
        prompt += output + len(text.encode()) + REPLY_FRAME
        total += ceiling.most(prompt=prompt, output=output, cached=cached)
        if TOOLS in request.body and (rounds := _rounds(request.body)):
            total += (rounds - 1) * ceiling.most(prompt=prompt, output=output, cached=cached)
    return total
