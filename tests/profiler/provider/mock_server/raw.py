"""A client that hides nothing: bytes over a socket, and what came back."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from profiler.provider.mock_server.server import MockServer

PATIENCE_S = 60
HEADERS = {"x-api-key": "mock", "anthropic-version": "2026-10-21", "content-type": "application/json"}
ASKED: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Why is the sea salty?"}],
}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[str, str]:
        return self.json["error"]["type"], self.json["error"]["message"]


class Line(NamedTuple):
    """One connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        opening, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        return int(opening.split(" ")[1]), {name: value for name, _, value in pairs}

    async def answer(self) -> Answer:
        status, headers = await self.head()
        if "content-length" in headers:
            return Answer(status, headers, await self.reader.readexactly(int(headers["content-length"])))
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()
        return Answer(status, headers, body)


def post(
    body: Any = ASKED, *, path: str = "/v1/messages", headers: Mapping[str, str] = HEADERS, method: str = "POST"
) -> bytes:
    """The bytes of a request; a body that is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{fields}content-length: {len(data)}\r\n\r\n".encode() + data


@asynccontextmanager
async def connect(server: MockServer) -> AsyncIterator[Line]:
    with anyio.fail_after(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            yield Line(reader, writer)
        finally:
            writer.close()


async def ask(server: MockServer, body: Any = ASKED, **options: Any) -> Answer:
    """One request over a connection of its own."""
    async with connect(server) as line:
        await line.send(post(body, **options))
        return await line.answer()


async def until(seen: Callable[[], bool]) -> None:
    """Let the event loop turn until the server has seen what is already on its way."""
    with anyio.fail_after(PATIENCE_S):
        while not seen():  # noqa: ASYNC110 (the counters of a server are no event)
            await asyncio.sleep(0)


async def get(server: MockServer, path: str, **headers: str) -> Answer:
    return await ask(server, b"", path=path, method="GET", headers=headers)
