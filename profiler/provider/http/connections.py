"""The connections to one address: takes a request, gives the response, and keeps connections open for the next call.

A failed call raises a `CallError` of kind `connection` or `too_large_reply`; a cancelled one closes its connection. A
request is never sent twice here, because it may have been paid for already: retries, like time-outs, belong to the
engine.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from profiler.provider.http.connection import Connection, lost

if TYPE_CHECKING:
    from profiler.provider.http.proxy import Proxy

LONGEST_HEAD = 64 << 10  # of a proxy's answer to CONNECT
IDLE_S = 50.0  # older idle connections are not used again: servers and load balancers close them after about a minute
CLOSING_S = 2.0
# a call may be silent for minutes, and firewalls forget it
KEEP_ALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5))


class Tunnel(asyncio.Protocol):
    """Asks a proxy to connect us to the host, and waits for its 200."""

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
                self.through.set_exception(lost(f"the proxy refused: {' '.join(words)[:200]}", sent=False))
        elif len(self._said) > LONGEST_HEAD:
            self.through.set_exception(lost("the proxy does not speak HTTP", sent=False))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.through.done():
            self.through.set_exception(lost("the proxy closed the connection", sent=False))


class Http:
    """Connections to one address, as many as there are calls in flight. The one used last is used first."""

    def __init__(self, url: str, *, proxy: Proxy | None = None, kind: type[Connection] = Connection) -> None:
        """`kind` makes the connections, and says what `post` returns: an `HttpAnswer` if it is the plain one."""
        parts = urlsplit(url)
        self.loop = asyncio.get_running_loop()
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._proxy = proxy
        self._kind = kind
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._all_closed = anyio.Event()

    async def post(self, head: bytes, body: bytes) -> Any:
        """Send one request; `head` ends with `content-length: `. A connection that failed is not used again."""
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
        """Close all connections and wait until they are, for `CLOSING_S` at most."""
        with anyio.move_on_after(CLOSING_S, shield=True):
            # A connection may still open while others close, hence the loop.
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
                lambda: self._kind(self), self._host, self._port, ssl=self._tls
            )
        except (OSError, UnicodeError) as error:  # a host name that cannot be encoded is a UnicodeError
            raise lost(f"cannot connect to {self._host}:{self._port}: {_reason(error)}", sent=False) from error
        _keep_alive(connection)
        return connection

    async def _connect_through(self, proxy: Proxy) -> Connection:
        """Connect by way of a proxy.

        Plain HTTP needs no tunnel: its requests name the whole address (see `Endpoint.head`).
        """
        if self._tls is None:
            return (await self.loop.create_connection(lambda: self._kind(self), proxy.host, proxy.port))[1]
        transport, tunnel = await self.loop.create_connection(lambda: Tunnel(self.loop), proxy.host, proxy.port)
        try:
            transport.write(_connect_request(self._host, self._port, proxy))
            await tunnel.through
            connection = self._kind(self)
            secured = await self.loop.start_tls(transport, connection, self._tls, server_hostname=self._host)
        except BaseException:
            transport.abort()
            raise
        if secured is None:
            raise lost("the connection was closed during the TLS handshake", sent=False)
        connection.connection_made(secured)
        return connection


def _connect_request(host: str, port: int, proxy: Proxy) -> bytes:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    authorization = f"proxy-authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
    return f"CONNECT {where} HTTP/1.1\r\nhost: {where}\r\n{authorization}\r\n".encode()


def _keep_alive(connection: Connection) -> None:
    """Let the system probe a silent connection, with the settings that it knows."""
    found = connection.socket
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
