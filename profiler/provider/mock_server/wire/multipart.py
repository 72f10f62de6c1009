"""The parts of a multipart/form-data body, as browsers and HTTP clients send forms with files."""

from __future__ import annotations

import re
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import TYPE_CHECKING, NamedTuple

from profiler.provider.mock_server.settings import invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_PARTS = 100
_HEADER = re.compile(rb"([!-9;-~]+):[ \t]*([^\r\n]*)")


class Part(NamedTuple):
    name: str
    filename: str | None
    content_type: str | None
    data: bytes


def parts(body: bytes, *, content_type: str) -> Iterator[Part]:
    fields = Message()
    fields["content-type"] = content_type
    boundary = fields.get_boundary()
    if fields.get_content_type() != "multipart/form-data" or not boundary:
        raise invalid("content-type: expected multipart/form-data with a boundary")
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    at = 0 if body.startswith(delimiter[2:]) else body.find(delimiter) + 2
    if at == 1:
        raise invalid("The form has no part: its boundary was not found")
    at += len(delimiter) - 2
    for _ in range(MOST_PARTS):
        if body.startswith(b"--", at):
            return
        end = body.find(delimiter, at)
        if end < 0:
            raise invalid("The form ends in the middle of a part")
        yield _part(body, at, end)
        at = end + len(delimiter)
    raise invalid(f"The form has more than {MOST_PARTS} parts")


def _part(body: bytes, start: int, end: int) -> Part:
    head_end = body.find(b"\r\n\r\n", start, end)
    if head_end < 0:
        raise invalid("A part of the form has no end of its header")
    headers = Message()
    for name, value in _HEADER.findall(body[start:head_end]):
        headers[name.decode("latin-1")] = value.decode("utf-8", "replace")
    name = headers.get_param("name", header="content-disposition")
    if name is None:
        raise invalid("A part of the form has no name")
    filename = headers.get_param("filename", header="content-disposition")
    return Part(
        name=collapse_rfc2231_value(name),
        filename=None if filename is None else collapse_rfc2231_value(filename),
        content_type=headers.get("content-type"),
        data=body[head_end + 4 : end],
    )
