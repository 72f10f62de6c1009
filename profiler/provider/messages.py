"""Decodes replies of the Messages API and reads the rate limits in their headers. All live clients use it.

Only what makes a reply (its content, its model) must be of the right type here; `validate` judges the usage later.
Names of headers are expected in lower case.
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
    """One content block. Thinking blocks have no `text`, so they never become part of a completion."""

    type: str
    text: str = ""
    name: str | None = None


class WireMessage(msgspec.Struct, frozen=True):
    """The parts of a reply's body that are read."""

    content: tuple[Block, ...]
    model: str
    type: Literal["message"]
    usage: Any = None
    stop_reason: str | None = None
    stop_sequence: Any = None
    stop_details: Any = None


class Blocks(msgspec.Struct, frozen=True):
    """The whole content blocks of a reply; decoded in a second pass, and only when it calls tools."""

    content: list[dict[str, Any]]


_decode = msgspec.json.Decoder(WireMessage).decode
_decode_blocks = msgspec.json.Decoder(Blocks).decode


class NotAMessage(ValueError):
    """The body is not a message. `legible`: it was JSON at least. `deep`: nested too deep to be read by anything."""

    def __init__(self, reason: str, *, legible: bool, deep: bool = False) -> None:
        super().__init__(reason)
        self.legible = legible
        self.deep = deep


def reply_of(body: bytes, headers: Mapping[str, str]) -> Reply:
    """The `Reply` in a body, its text blocks joined. Raises `NotAMessage`."""
    message, body = _message_in(body)
    content = message.content
    calls: list[str | None] = []
    if len(content) == 1 and content[0].type == "text":
        completion = content[0].text
    else:
        completion = "".join([block.text for block in content if block.type == "text"])
        # asked of the content itself: a stop reason may say something else
        calls = [block.name for block in content if block.type == "tool_use"]
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
    """The message, and the bytes it was read from.

    A reply has been paid for, so a body that the strict decoder refuses is read leniently before it is given up.
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
    """All content blocks as dictionaries. `Block` skips fields that are decoded here, so the body may fail only now."""
    try:
        return _decode_blocks(body).content
    except RecursionError as error:
        raise NotAMessage("nested too deep", legible=True, deep=True) from error
    except msgspec.DecodeError as error:
        if (mended := _mended(body)) is None:
            raise NotAMessage(str(error), legible=True) from error
        return _decode_blocks(mended).content


def _mended(body: bytes) -> bytes | None:
    """The JSON object at the beginning of the body, rewritten for the strict decoder; None if there is none."""
    try:
        value = load_leniently(body)
        return dump_leniently(value) if isinstance(value, dict) else None
    except (ValueError, RecursionError):
        return None


def _metadata(message: WireMessage, calls: list[str | None]) -> dict[str, Any]:
    """The `metadata` of a reply: whatever else is worth keeping. Most replies have nothing, hence the quick way out."""
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
    """The limits that the headers name, or None."""
    found: dict[str, Limit] = {}
    names = getattr(headers, "names", headers)  # our own connections have them in a dictionary
    for name, limit, remaining in _LIMITS:
        if limit in names and remaining in names:
            allowed, left = _count(headers[limit]), _count(headers[remaining])
            if allowed and left is not None:
                found[name] = Limit(allowed, left)
    return RateHeaders(**found) if found else None


def _count(text: str) -> int | None:
    # longer ones cannot be counts, and take long to convert
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
