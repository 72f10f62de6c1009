"""The Messages API as bytes and headers: a reply decoded once, and what its headers say of rate limits.

Comes in: the body and the headers of a 200, header names in lower case. Goes out: a `Reply`. Both live clients
decode here, so they cannot disagree. Knows nothing of connections or of the SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from profiler.core.nouns import Limit, RateHeaders, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIMITS = tuple(
    (name, *(f"anthropic-ratelimit-{name.replace('_', '-')}-{part}" for part in ("limit", "remaining")))
    for name in ("requests", "input_tokens", "output_tokens")
)


class Block(msgspec.Struct, frozen=True):
    """One content block; thinking blocks have no text here, so they never become part of a completion."""

    type: str
    text: str = ""
    name: str | None = None


class Message(msgspec.Struct, frozen=True):
    """The body of a reply, as far as it is read."""

    content: tuple[Block, ...]
    model: str
    usage: dict[str, Any]
    type: Literal["message"]
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None


class Blocks(msgspec.Struct, frozen=True):
    """The content of a reply, all of it; read a second time, and only for calls of tools."""

    content: list[dict[str, Any]]


_decode = msgspec.json.Decoder(Message).decode
_decode_blocks = msgspec.json.Decoder(Blocks).decode


class NotAMessage(ValueError):
    """A body that is no message; `legible` says whether it was JSON at all."""

    def __init__(self, reason: str, *, legible: bool) -> None:
        super().__init__(reason)
        self.legible = legible


def reply_of(body: bytes, headers: Mapping[str, str]) -> Reply:
    """One reply for one request, however many content blocks it has; raises `NotAMessage`."""
    try:
        message = _decode(body)
    except msgspec.ValidationError as error:
        raise NotAMessage(str(error), legible=True) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAMessage(str(error), legible=False) from error
    content = message.content
    if len(content) == 1 and content[0].type == "text":
        completion = content[0].text
    else:
        completion = "".join([block.text for block in content if block.type == "text"])
    metadata = _metadata(message)
    return Reply(
        completion=completion,
        stop_reason=message.stop_reason,
        model=message.model,
        usage=message.usage,
        request_id=request_id_of(headers),
        metadata=metadata,
        limits=limits_of(headers),
        content=_decode_blocks(body).content if "tools" in metadata else None,
    )


def _metadata(message: Message) -> dict[str, Any]:
    if message.stop_reason == "end_turn" and message.stop_details is None:
        return {}
    found: dict[str, Any] = {}
    if message.stop_details is not None:
        found["stop_details"] = message.stop_details
    if message.stop_sequence is not None:
        found["stop_sequence"] = message.stop_sequence
    if tools := [block.name for block in message.content if block.type == "tool_use"]:
        found["tools"] = tools
    return found


def request_id_of(headers: Mapping[str, str]) -> str | None:
    return headers.get("request-id") or headers.get("x-request-id") or headers.get("x-amzn-requestid")


def limits_of(headers: Mapping[str, str]) -> RateHeaders | None:
    """The limits that the headers name, None when they name none."""
    found: dict[str, Limit] = {}
    for name, limit, remaining in _LIMITS:
        if limit in headers and remaining in headers:
            allowed, left = _count(headers[limit]), _count(headers[remaining])
            if allowed and left is not None:
                found[name] = Limit(allowed, left)
    return RateHeaders(**found) if found else None


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
