"""A server on 127.0.0.1 that sends exactly the bytes a test gives it, well-formed or not.

The test gives it a function that says for each request what to send. The server has its address, what it was asked, and
how many connections are open.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

KEY = "sk-ant-secret-0123456789"
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "Paris."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 12, "output_tokens": 3, "service_tier": "standard"},
}


class Asked(NamedTuple):
    head: str
    headers: dict[str, str]
    body: bytes


class Say(NamedTuple):
    """Bytes to send, and what becomes of the connection afterwards."""

    data: bytes
    then: str = "keep"  # or "close", "reset"


def http(status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> Say:
    """A whole answer; `content_length=""` leaves that header out."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"content-type": "application/json", "content-length": str(len(data)), "request-id": "req_1"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in given.items() if value)]
    return Say("\r\n".join(lines).encode() + b"\r\n\r\n" + data)


def error(status: int, kind: str = "api_error", message: str = "as asked", **headers: str) -> Say:
    return http(status, {"type": "error", "error": {"type": kind, "message": message}}, **headers)


def hang(_: Asked) -> Say:
    return Say(b"")


class Server:
    def __init__(self, answer: Callable[[Asked], Say]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.open = 0
        self.accepted = 0
        self.changed = asyncio.Event()
        self.url = ""
        self.port = 0

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.received = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.server.open += 1
        self.server.accepted += 1
        self.server.changed.set()

    def connection_lost(self, _: Exception | None) -> None:
        self.server.open -= 1
        self.server.changed.set()

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (asked := self._next()) is not None:
            self.server.asked.append(asked)
            self.server.changed.set()
            said = self.server.answer(asked)
            if said.data:
                self.transport.write(said.data)
            if said.then == "close":
                self.transport.close()
            elif said.then == "reset":
                self.transport.abort()

    def _next(self) -> Asked | None:
        head, found, rest = self.received.partition(b"\r\n\r\n")
        if not found:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return None
        self.received = rest[length:]
        return Asked(first, headers, rest[:length])


@asynccontextmanager
async def serving(answer: Callable[[Asked], Say], *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(answer)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, ssl=tls, backlog=1024)
    server.port = listener.sockets[0].getsockname()[1]
    server.url = f"http{'s' if tls else ''}://{'localhost' if tls else '127.0.0.1'}:{server.port}"
    try:
        yield server
    finally:
        listener.close()
