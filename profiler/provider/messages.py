"""The Messages API as bytes and headers: a reply decoded once, and what its headers say of rate limits.

All live clients decode here, so they cannot disagree. Header names are expected in lower case. Only what makes a
reply (its content, its model) has to be of the right type; whether its usage can be counted is for `validate` to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from profiler.core.json import dump_leniently, load_leniently
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


class WireMessage(msgspec.Struct, frozen=True):
    """The body of a reply, as far as it is read."""

    content: tuple[Block, ...]
    model: str
    type: Literal["message"]
    usage: Any = None
    stop_reason: str | None = None
    stop_sequence: Any = None
    stop_details: Any = None


class Blocks(msgspec.Struct, frozen=True):
    """The content of a reply, all of it; read a second time, and only for calls of tools."""

    content: list[dict[str, Any]]


_decode = msgspec.json.Decoder(WireMessage).decode
_decode_blocks = msgspec.json.Decoder(Blocks).decode


class NotAMessage(ValueError):
    """A body that is no message; `legible` says whether it was JSON at all, `deep` that it is nested beyond all reading."""

    def __init__(self, reason: str, *, legible: bool, deep: bool = False) -> None:
        super().__init__(reason)
        self.legible = legible
        self.deep = deep


def reply_of(body: bytes, headers: Mapping[str, str]) -> Reply:
    """One reply for one request, however many content blocks it has; raises `NotAMessage`."""
    message, body = _message_in(body)
    content = message.content
    calls: list[str | None] = []
    if len(content) == 1 and content[0].type == "text":
        completion = content[0].text
    else:
        completion = "".join([block.text for block in content if block.type == "text"])
        calls = [block.name for block in content if block.type == "tool_use"]  # whatever the stop reason says
    return Reply(
        completion=completion,
        stop_reason=message.stop_reason,
        model=message.model,
        usage=message.usage,
        request_id=request_id_of(headers),
        metadata=_metadata(message, calls),
        limits=limits_of(headers),
        content=_blocks_in(body) if calls else None,
    )


def _message_in(body: bytes) -> tuple[WireMessage, bytes]:
    """The message, and the bytes that it really was read from.

    It was paid for, so a body that a strict reader refuses is read leniently before it is given up.
    """
    try:
        return _decode(body), body
    except RecursionError as error:
        raise NotAMessage("nested too deep", legible=True, deep=True) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if (mended := _mended(body)) is None:
            raise NotAMessage(str(error), legible=isinstance(error, msgspec.ValidationError)) from error
    try:
        return _decode(mended), mended
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotAMessage(str(error), legible=True) from error


def _blocks_in(body: bytes) -> list[dict[str, Any]]:
    """All blocks whole. What a call is given may hold what a strict reader refuses only where it looks closely."""
    try:
        return _decode_blocks(body).content
    except RecursionError as error:
        raise NotAMessage("nested too deep", legible=True, deep=True) from error
    except msgspec.DecodeError as error:
        if (mended := _mended(body)) is None:
            raise NotAMessage(str(error), legible=True) from error
        return _decode_blocks(mended).content


def _mended(body: bytes) -> bytes | None:
    """The object that the bytes begin with, as JSON that a strict reader takes; None where there is none."""
    try:
        value = load_leniently(body)
        return dump_leniently(value) if isinstance(value, dict) else None
    except (ValueError, RecursionError):
        return None


def _metadata(message: WireMessage, calls: list[str | None]) -> dict[str, Any]:
    if message.stop_reason == "end_turn" and message.stop_details is None and not calls:
        return {}
    found: dict[str, Any] = {}
    if isinstance(message.stop_details, dict):
        found["stop_details"] = message.stop_details
    if isinstance(message.stop_sequence, str):
        found["stop_sequence"] = message.stop_sequence
    if calls:
        found["tools"] = calls
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
