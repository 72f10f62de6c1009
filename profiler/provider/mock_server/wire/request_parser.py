"""Finds HTTP/1.1 requests in a stream of bytes, which may come split anywhere.

Requests come out whole and in order; whatever cannot be read in exactly one way is `Malformed`, with the status that says
why.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

import msgspec

from profiler.provider.mock_server.settings import MAX_BODY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_HEAD = 64 << 10
HEADS = 256  # of clients that send the same head again and again
MAX_CHUNK_LINE = 4 << 10

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rf"({_NAME}) ([!-~]+) HTTP/([0-9])\.([0-9])", re.ASCII)
_ABSOLUTE = re.compile(r"https?://[^/?]*", re.IGNORECASE)  # what is said to a proxy, and every server must take
TOKEN = re.compile(_NAME)  # the name of a header field
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")
_DIGITS = re.compile(r"[0-9]{1,15}")


class Malformed(Exception):
    """The bytes are no request that can be answered; the connection ends after saying so."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Head(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """All of a request but its body. Equal heads are one object (see `parse_head`), so results can be cached by it."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]  # names in lower case
    length: int | None  # None: the body comes in chunks
    http_1_0: bool
    keep_alive: bool
    expects_continue: bool


class Incoming(msgspec.Struct, frozen=True):
    head: Head
    body: bytes


class Parser:
    """Takes bytes as they come, gives requests as they become whole."""

    def __init__(self, *, max_body: int = MAX_BODY, larger: Mapping[str, int] | None = None) -> None:
        self._usual = self._max_body = max_body
        self._larger = larger or {}  # path: how large a body may be there
        self._buffer = bytearray()
        self._head: Head | None = None
        self._searched = 0  # how far the end of the head was looked for
        self._chunks = bytearray()
        self._chunk_left = 0
        self._in_trailers = False
        self._continue_due = False

    def feed(self, data: bytes) -> None:
        self._buffer += data

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    @property
    def partial(self) -> bool:
        """Whether a request has begun that is not whole."""
        return self._head is not None or bool(self._buffer)

    def continue_due(self) -> bool:
        """Whether the sender of the request that has begun waits to be told to go on; says so once."""
        due, self._continue_due = self._continue_due, False
        return due

    def take(self) -> Incoming | None:
        """The next whole request, or None until more bytes come."""
        head = self._head or (self._open() if self._buffer else None)
        if head is None:
            return None
        body = self._chunked_body() if head.length is None else self._sized_body(head.length)
        if body is None:
            return None
        self._head = None
        self._continue_due = False
        return Incoming(head, body)

    def whole(self, data: bytes) -> Incoming | None:
        """The usual case, without the buffer: nothing waits, and the bytes are one request, no more and no less."""
        if self._buffer or self._head is not None:
            return None
        end = data.find(b"\r\n\r\n")
        if not 0 <= end <= MAX_HEAD:
            return None
        try:
            head = parse_head(data[:end])
        except Malformed:
            return None  # which is said by who reads it from the buffer
        if head.length is None or len(data) != end + 4 + head.length or head.length > self._usual:
            return None
        return Incoming(head, data[end + 4 :])

    def _open(self) -> Head | None:
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):  # allowed before a request, and some clients send it after a body
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        if max(end, 0) > MAX_HEAD or (end < 0 and len(buffer) > MAX_HEAD):
            raise Malformed(f"the header fields are larger than {MAX_HEAD} bytes", status=431)
        if end < 0:
            self._searched = len(buffer)
            return None
        head = parse_head(bytes(buffer[:end]))
        del buffer[: end + 4]
        self._searched = 0
        self._max_body = self._larger.get(head.path, self._usual)
        if (head.length or 0) > self._max_body:
            self._refuse_size()
        self._head = head
        self._continue_due = head.expects_continue
        return head

    def _sized_body(self, length: int) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < length:
            return None
        if len(buffer) == length:
            body = bytes(buffer)
            buffer.clear()
            return body
        body = bytes(buffer[:length])
        del buffer[:length]
        return body

    def _chunked_body(self) -> bytes | None:
        while not self._in_trailers:
            if not self._chunk_left and not self._next_chunk():
                return None
            if not self._in_trailers and not self._finish_chunk():
                return None
        while (line := self._line()) is not None:
            if not line:
                body = bytes(self._chunks)
                self._chunks.clear()
                self._in_trailers = False
                return body
        return None

    def _next_chunk(self) -> bool:
        """Read how long the next chunk is; 0 says that only trailers follow."""
        line = self._line()
        if line is None:
            return False
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise Malformed("found a chunk whose size is no hexadecimal number")
        self._chunk_left = int(match[1], 16)
        self._in_trailers = self._chunk_left == 0
        if len(self._chunks) + self._chunk_left > self._max_body:
            self._refuse_size()
        return True

    def _finish_chunk(self) -> bool:
        size, buffer = self._chunk_left, self._buffer
        if len(buffer) < size + 2:
            return False
        if buffer[size : size + 2] != b"\r\n":
            raise Malformed("found a chunk that does not end where its size says")
        self._chunks += buffer[:size]
        del buffer[: size + 2]
        self._chunk_left = 0
        return True

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, MAX_CHUNK_LINE + 2)
        if end < 0:
            if len(self._buffer) > MAX_CHUNK_LINE:
                raise Malformed(f"found a line of more than {MAX_CHUNK_LINE} bytes between chunks")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _refuse_size(self) -> NoReturn:
        raise Malformed(f"Request exceeds the maximum allowed number of bytes, {self._max_body}.", status=413)


@lru_cache(maxsize=HEADS)
def parse_head(raw: bytes) -> Head:
    """Clients send the same head again and again, so most are parsed once."""
    request_line, *lines = raw.decode("latin-1").split("\r\n")
    match = _REQUEST_LINE.fullmatch(request_line)
    if match is None:
        raise Malformed(f"found {request_line[:80]!r}, expected a request line such as 'POST /v1/messages HTTP/1.1'")
    method, target, major, minor = match.groups()
    if major != "1":
        raise Malformed(f"found HTTP/{major}.{minor}, only HTTP/1.1 is spoken here", status=505)
    headers = _fields(lines)
    path, _, query = _ABSOLUTE.sub("", target, count=1).partition("?")
    http_1_0 = minor == "0"
    options = headers.get("connection", "").lower()
    return Head(
        method=method,
        path=path,
        query=query,
        headers=headers,
        length=_framing(headers),
        http_1_0=http_1_0,
        keep_alive="keep-alive" in options if http_1_0 else "close" not in options,
        expects_continue=headers.get("expect", "").lower() == "100-continue" and not http_1_0,
    )


def _fields(lines: Iterable[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or TOKEN.fullmatch(name) is None or "\n" in line or "\r" in line or "\0" in line:
            raise Malformed(f"found {line[:80]!r}, expected a header field")
        name, value = name.lower(), value.strip(" \t")
        if name in headers:
            if name in {"content-length", "transfer-encoding"} and headers[name] != value:
                raise Malformed(f"found two {name} fields that differ")
            value = value if name == "content-length" else f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def _framing(headers: Mapping[str, str]) -> int | None:
    """The length of the body, None when it comes in chunks; whatever could be read in two ways is refused."""
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None:
        if length is not None:
            raise Malformed("found both content-length and transfer-encoding")
        if coding.lower() != "chunked":
            raise Malformed(f"found transfer-encoding {coding[:40]!r}, expected 'chunked'", status=501)
        return None
    if length is None:
        return 0
    if _DIGITS.fullmatch(length) is None:
        raise Malformed(f"found content-length {length[:40]!r}, expected a number of bytes")
    return int(length)
