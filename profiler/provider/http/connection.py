"""One HTTP/1.1 connection that carries one request at a time, whatever the other side may send.

All state changes in the callbacks of the event loop, which never await; the caller awaits the future that `ask`
returns.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from profiler.core.errors import CallError
from profiler.provider.http.headers import NO_HEADERS, Headers

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

LARGEST_REPLY = 64 << 20
LARGEST_HEAD = 256 << 10  # of the bytes up to the body


class Owner(Protocol):
    """Keeps the connections; it is told when one opens and when one is lost."""

    loop: asyncio.AbstractEventLoop

    def opened(self, connection: Connection) -> None: ...
    def lost(self, connection: Connection) -> None: ...


class HttpAnswer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


def lost(reason: str, *, sent: bool = True) -> CallError:
    """The failure of a connection. `sent=False`: the request cannot have reached the provider, so it cost nothing."""
    return CallError("connection", reason, retryable=True, sent=sent)


class Connection(asyncio.Protocol):
    """A protocol of asyncio that writes a request and reads the response with httptools.

    One parser reads all responses of a connection: making one costs as much as reading a response.
    """

    def __init__(self, owner: Owner) -> None:
        self.reusable = False
        self.idle_since = 0.0
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Any] | None = None
        self._lines: dict[bytes, bytes] = {}  # headers of the response that is being read
        self.on_header = (
            self._lines.__setitem__
        )  # for the parser; a method of our own would cost twice as much a header
        self._parser: HttpResponseParser | None = HttpResponseParser(self)  # None when the connection is lost
        self._headers = NO_HEADERS
        self._body: list[bytes] = []
        self._received = 0
        self._status = 0
        self._headed = False
        self._complete = False

    def ask(self, head: bytes, body: bytes) -> asyncio.Future[Any]:
        """Write a request; `head` ends with `content-length: `. The future gets the answer, or a `CallError`."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise lost("the connection was closed before the request was sent", sent=False)
        self._waiter = waiter = self._owner.loop.create_future()
        self._headers, self._body, self._received = NO_HEADERS, [], 0
        self._headed = self._complete = self.reusable = False
        transport.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
        return waiter

    @property
    def socket(self) -> socket.socket | None:
        """The socket beneath, while the connection is open."""
        return None if self._transport is None else self._transport.get_extra_info("socket")

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of a class of their own
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if self._waiter is None or parser is None:
            self.abort()  # nobody waits for this: the server says good-bye, or is out of step
            return
        self._received += len(data)
        if self._received > LARGEST_REPLY:
            self._fail(CallError("too_large_reply", f"the reply is longer than {LARGEST_REPLY >> 20} MiB"))
            return
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self._complete:
                self._fail(lost(f"the reply is not HTTP: {error}"))
                return
            self.reusable = False  # rubbish behind a whole answer: the answer counts, the connection does not
        if self._complete:
            self._finish()
        elif not self._headed and self._received > LARGEST_HEAD:
            self._fail(CallError("too_large_reply", f"the headers are longer than {LARGEST_HEAD >> 10} KiB"))

    @property
    def usable(self) -> bool:
        """Whether it can take another request: the last answer allowed it, and it has not begun to close since."""
        return self.reusable and self._transport is not None and not self._transport.is_closing()

    def eof_received(self) -> None:
        """The end of a body without a length. With a length it is cut off, which `connection_lost` reports."""
        if self._waiter is not None and self._ends_with_connection():
            self._complete, self.reusable = True, False
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._owner.lost(self)
        if self._waiter is not None:
            when = "in the middle of the reply" if self._received else "before the reply"
            self._fail(lost(f"the connection was {'reset' if exc else 'closed'} {when}"))
        self._parser = None  # it holds methods of ours: a cycle

    # The methods below are called by the parser, in the order in which it finds the parts of a response.

    def on_message_begin(self) -> None:
        if self._complete:  # a second response, which nobody asked for, must not replace the first
            self.reusable = False
        else:
            self._lines.clear()
            self._body = []
            self._headed = False

    def on_headers_complete(self) -> None:
        if not self._complete and self._parser is not None:
            self._status = self._parser.get_status_code()
            self._headers = Headers(self._lines.copy())
            self._headed = True

    def on_body(self, body: bytes) -> None:
        if not self._complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._status >= 200 and not self._complete:  # 1xx is not the answer: "103 Early Hints" may come before it
            self._complete = True
            self.reusable = self._parser is not None and self._parser.should_keep_alive()

    def _ends_with_connection(self) -> bool:
        """Whether the body has no length of its own, so that only the end of the connection ends it."""
        names = self._headers.names
        return self._headed and "content-length" not in names and "transfer-encoding" not in names

    def _finish(self) -> None:
        waiter, self._waiter = self._waiter, None
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if not self.reusable:
            self.abort()
        if waiter is None or waiter.done():
            return
        encoding = self._headers.get("content-encoding")
        if encoding is not None:
            try:
                body = inflated(body, encoding)
            except CallError as error:
                waiter.set_exception(error)
                return
        waiter.set_result(HttpAnswer(self._status, self._headers, body))

    def _fail(self, error: CallError) -> None:
        waiter, self._waiter = self._waiter, None
        self.reusable = False
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)


def inflated(body: bytes, encodings: str) -> bytes:
    """The body uncompressed, in case it was compressed unasked. The encoding applied last is undone first."""
    for encoding in reversed([each.strip().lower() for each in encodings.split(",")]):
        if encoding not in ("", "identity"):
            body = _unpacked(body, encoding)
    return body


def _unpacked(body: bytes, encoding: str) -> bytes:
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise lost(f"the reply is encoded as {encoding!r}, which was not asked for")
    try:
        unpacker = zlib.decompressobj(wbits=47)  # 32 + 15: finds out whether it is gzip or zlib
        plain = unpacker.decompress(body, LARGEST_REPLY)
    except zlib.error as error:
        raise lost(f"the reply does not unpack: {error}") from error
    if unpacker.unconsumed_tail:
        raise CallError("too_large_reply", f"the reply is longer than {LARGEST_REPLY >> 20} MiB")
    return plain
