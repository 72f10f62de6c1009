"""Writes HTTP/1.1 replies as bytes: whole ones, and the pieces of those that come in chunks."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
SET_BY_RENDER = frozenset({"content-type", "content-length", "transfer-encoding"})


def _reason(status: int) -> str:
    if status == 529:
        return "Overloaded"
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Scripted"


@lru_cache(maxsize=64)
def _opening(status: int, content_type: str) -> bytes:
    return f"HTTP/1.1 {status} {_reason(status)}\r\ncontent-type: {content_type}\r\n".encode()


def field_lines(headers: Mapping[str, str]) -> bytes:
    """Header lines for fields of somebody's own; those that frame a reply stay ours."""
    lines = (f"{name}: {value}\r\n" for name, value in headers.items() if name.lower() not in SET_BY_RENDER)
    return "".join(lines).encode("latin-1")


def render(status: int, body: bytes, *, fields: bytes = b"", content_type: str = "application/json") -> bytes:
    """A whole reply; `fields` are further header lines, each with its line break."""
    return b"%b%bcontent-length: %d\r\n\r\n%b" % (_opening(status, content_type), fields, len(body), body)


def render_chunked_head(status: int, *, fields: bytes = b"", content_type: str) -> bytes:
    return b"%b%btransfer-encoding: chunked\r\n\r\n" % (_opening(status, content_type), fields)


def render_stream_head(*, fields: bytes = b"") -> bytes:
    fields += b"cache-control: no-cache\r\n"
    return render_chunked_head(200, fields=fields, content_type="text/event-stream; charset=utf-8")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
