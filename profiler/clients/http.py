"""A lean HTTP/1.1 client for one address: bytes out, an answer back, connections kept for the next call.

Comes in: the head and the body of a POST. Goes out: status, headers and body, or a `CallError` of kind `connection`
or `too_large_reply`. A call that is cancelled closes its connection at once. Time-outs belong to the caller, and so
do retries: a request is never sent twice here, because it may have been paid for. Knows nothing of what is said.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import urlsplit

import anyio
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from profiler.errors import CallError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.clients.proxy import Proxy

LARGEST_REPLY = 64 << 20
LONGEST_HEAD = 64 << 10  # of a proxy's answer
IDLE_S = 50.0  # shorter than what servers and their balancers allow
CLOSING_S = 2.0
KEEP_ALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5))  # long calls are silent for minutes


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


def lost(reason: str) -> CallError:
    return CallError("connection", reason, retryable=True)


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, pool: Http) -> None:
        self.reusable = False
        self.idle_since = 0.0
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._parser: HttpResponseParser | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._received = 0
        self._complete = False

    def ask(self, head: bytes, body: bytes) -> asyncio.Future[Answer]:
        transport = self._transport
        if transport is None or transport.is_closing():
            raise lost("the connection was closed before the request was sent")
        self._waiter = waiter = self._pool.loop.create_future()
        self._parser = HttpResponseParser(self)
        self._headers, self._body, self._received, self._complete = {}, [], 0, False
        self.reusable = False
        transport.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
        return waiter

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of a class of their own
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._parser is None:
            self.abort()  # nothing was asked: a server that says good-bye, or one out of step
            return
        self._received += len(data)
        if self._received > LARGEST_REPLY:
            self._fail(CallError("too_large_reply", f"the reply is longer than {LARGEST_REPLY >> 20} MiB"))
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self._complete:
                self._fail(lost(f"the reply is not HTTP: {error}"))
                return
            self.reusable = False
        if self._complete:
            self._finish()

    @property
    def usable(self) -> bool:
        """Whether it can take another request: kept alive by the last one, and not closing since."""
        return self.reusable and self._transport is not None and not self._transport.is_closing()

    def eof_received(self) -> None:
        """A body without a length ends here; any other is cut off, which `connection_lost` tells."""
        if self._waiter is not None and self._ends_with_connection():
            self._complete, self.reusable = True, False
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._pool.lost(self)
        if self._waiter is not None:
            when = "in the middle of the reply" if self._received else "before the reply"
            self._fail(lost(f"the connection was {'reset' if exc else 'closed'} {when}"))

    # what the parser calls

    def on_message_begin(self) -> None:
        self._headers, self._body = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        parser = self._parser
        if parser is not None and parser.get_status_code() >= 200:  # before it come words such as "103 Early Hints"
            self._complete = True
            self.reusable = parser.should_keep_alive()

    def _ends_with_connection(self) -> bool:
        headers = self._headers
        return bool(headers) and "content-length" not in headers and "transfer-encoding" not in headers

    def _finish(self) -> None:
        parser, waiter = self._parser, self._waiter
        self._parser = self._waiter = None
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if not self.reusable:
            self.abort()
        if parser is None or waiter is None or waiter.done():
            return
        encoding = self._headers.get("content-encoding")
        if encoding is not None:
            try:
                body = inflated(body, encoding)
            except CallError as error:
                waiter.set_exception(error)
                return
        waiter.set_result(Answer(parser.get_status_code(), self._headers, body))

    def _fail(self, error: CallError) -> None:
        waiter, self._waiter, self._parser = self._waiter, None, None
        self.reusable = False
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)


class Tunnel(asyncio.Protocol):
    """What is said with a proxy before it lets bytes through."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.through: asyncio.Future[None] = loop.create_future()
        self._said = bytearray()

    def data_received(self, data: bytes) -> None:
        self._said += data
        if self.through.done():
            return
        if b"\r\n\r\n" in self._said:
            words = bytes(self._said.partition(b"\r\n")[0]).decode("latin-1").split(" ", 2)
            if len(words) > 1 and words[1] == "200":
                self.through.set_result(None)
            else:
                self.through.set_exception(lost(f"the proxy refused: {' '.join(words)[:200]}"))
        elif len(self._said) > LONGEST_HEAD:
            self.through.set_exception(lost("the proxy does not speak HTTP"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.through.done():
            self.through.set_exception(lost("the proxy closed the connection"))


class Http:
    """The connections to one address; as many as there are calls in flight, the newest used first."""

    def __init__(self, url: str, *, proxy: Proxy | None = None) -> None:
        parts = urlsplit(url)
        self.loop = asyncio.get_running_loop()
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._proxy = proxy
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._all_closed = anyio.Event()

    async def post(self, head: bytes, body: bytes) -> Answer:
        """One request; `head` ends with `content-length: `. Whatever goes wrong, the connection is not used again."""
        connection = self._take_idle() or await self._connect()
        try:
            answer = await connection.ask(head, body)
        except BaseException:
            connection.abort()
            raise
        if connection.reusable:
            connection.idle_since = self.loop.time()
            self._idle.append(connection)
        return answer

    async def aclose(self) -> None:
        with anyio.move_on_after(CLOSING_S, shield=True):
            while self._open:
                self._all_closed = anyio.Event()
                for connection in list(self._open):
                    connection.abort()
                await self._all_closed.wait()

    def opened(self, connection: Connection) -> None:
        self._open.add(connection)

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._all_closed.set()

    def _take_idle(self) -> Connection | None:
        oldest = self.loop.time() - IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> Connection:
        try:
            if self._proxy is not None:
                return await self._connect_through(self._proxy)
            _, connection = await self.loop.create_connection(
                lambda: Connection(self), self._host, self._port, ssl=self._tls
            )
        except (OSError, UnicodeError) as error:  # names that no lookup takes are UnicodeErrors
            raise lost(f"cannot connect to {self._host}:{self._port}: {_reason(error)}") from error
        _keep_alive(connection)
        return connection

    async def _connect_through(self, proxy: Proxy) -> Connection:
        """Plain requests name the whole address in their head, so only TLS needs a tunnel."""
        if self._tls is None:
            return (await self.loop.create_connection(lambda: Connection(self), proxy.host, proxy.port))[1]
        transport, tunnel = await self.loop.create_connection(lambda: Tunnel(self.loop), proxy.host, proxy.port)
        try:
            transport.write(_connect_request(self._host, self._port, proxy))
            await tunnel.through
            connection = Connection(self)
            secured = await self.loop.start_tls(transport, connection, self._tls, server_hostname=self._host)
        except BaseException:
            transport.abort()
            raise
        if secured is None:
            raise lost("the connection was closed during the TLS handshake")
        connection.connection_made(secured)
        return connection


def _connect_request(host: str, port: int, proxy: Proxy) -> bytes:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    authorization = f"proxy-authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
    return f"CONNECT {where} HTTP/1.1\r\nhost: {where}\r\n{authorization}\r\n".encode()


def _keep_alive(connection: Connection) -> None:
    transport = connection._transport  # noqa: SLF001 (same module)
    found = transport.get_extra_info("socket") if transport is not None else None
    if found is None:
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE:
        if hasattr(socket, name):
            found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted ({error.verify_message}); SSL_CERT_FILE names the ones that are"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def inflated(body: bytes, encoding: str) -> bytes:
    """A body that came compressed although nobody asked for it."""
    if encoding == "identity":
        return body
    if encoding not in {"gzip", "deflate"}:
        raise lost(f"the reply is encoded as {encoding!r}, which was not asked for")
    try:
        unpacker = zlib.decompressobj(wbits=47)
        plain = unpacker.decompress(body, LARGEST_REPLY)
    except zlib.error as error:
        raise lost(f"the reply does not unpack: {error}") from error
    if unpacker.unconsumed_tail:
        raise CallError("too_large_reply", f"the reply is longer than {LARGEST_REPLY >> 20} MiB")
    return plain
