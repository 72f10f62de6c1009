"""Asks a server as fast as it answers: over a few connections, one question after the other, or with many streams at once.

The server is what is measured, so nothing is kept of its answers but when streams began. No question is asked twice.
"""

from __future__ import annotations

import asyncio
import time
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import anyio
import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONNECTIONS = 32
PATIENCE_S = 3600  # a million requests take their time on a busy machine
HEAD = (
    b"POST /v1/messages HTTP/1.1\r\nhost: %b\r\nauthorization: Bearer mock\r\nanthropic-version: 2026-10-21\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
)
LENGTH = b"content-length: "
STATUS = b"HTTP/1.1 200 "

Protocol = TypeVar("Protocol", bound=asyncio.Protocol)

_numbers = count(1_000_000_000)  # all of one length, and no question is asked twice


def request(host: bytes, *, stream: bool = False) -> bytes:
    text = f"Why is the sea salty, and who found out? Question {next(_numbers)}."
    asked: dict[str, Any] = {
        "model": "claude-haiku-4-5",
        "max_tokens": 256,
        "messages": [{"role": "user", "content": text}],
    }
    body = msgspec.json.encode(asked | ({"stream": True} if stream else {}))
    return HEAD % (host, len(body)) + body


class Asking(asyncio.Protocol):
    """Asks the next question when it has the answer to the last one."""

    def __init__(self, host: bytes, turns: Iterator[int]) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.reply = b""  # the last one
        self._host = host
        self._turns = turns
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received = received = self._received + data
        head_ends = received.find(b"\r\n\r\n")
        if head_ends < 0:
            return
        if not received.startswith(STATUS):
            self.over.set_exception(ConnectionError(f"the server answered {received[:40]!r}"))
            return
        begins = received.index(LENGTH) + len(LENGTH)
        if len(received) < head_ends + 4 + int(received[begins : received.index(b"\r\n", begins)]):
            return
        self.reply, self._received = received, b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(exc or ConnectionError("closed by the server"))

    def _next(self) -> None:
        if next(self._turns, None) is None:
            self.over.set_result(None)
            self._transport.close()
            return
        self._transport.write(request(self._host))


async def _connected(base_url: str, protocol: Callable[[], Protocol]) -> Protocol:
    address = urlsplit(base_url)
    host, port = address.hostname or "", address.port or 80
    _, connected = await asyncio.get_running_loop().create_connection(protocol, host, port)
    return connected


async def ask(base_url: str, requests: int) -> bytes:
    """So many questions over some connections; gives one of the replies as it came."""
    address = urlsplit(base_url)
    turns = iter(range(requests))
    with anyio.fail_after(PATIENCE_S):
        asking = [
            await _connected(base_url, lambda: Asking(address.netloc.encode(), turns))
            for _ in range(min(CONNECTIONS, requests))
        ]
        for each in asking:
            await each.over
    return next(each.reply for each in asking if each.reply)


class Streaming(asyncio.Protocol):
    """Begins one stream when it is told to, and notes how long its first bytes took."""

    def __init__(self) -> None:
        self.began: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._sent_at = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def begin(self, host: bytes) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(request(host, stream=True))

    def data_received(self, data: bytes) -> None:
        if not self.began.done():
            self.began.set_result(time.perf_counter() - self._sent_at)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.began.done():
            self.began.set_exception(exc or ConnectionError("closed by the server"))

    def close(self) -> None:
        self._transport.abort()


async def first_bytes(base_url: str, streams: int) -> list[float]:
    """How long the first bytes of each took, when so many streams begin as fast as they can be asked for."""
    host = urlsplit(base_url).netloc.encode()
    with anyio.fail_after(PATIENCE_S):
        all_of_them = [await _connected(base_url, Streaming) for _ in range(streams)]
        for each in all_of_them:
            each.begin(host)
        waits = [await each.began for each in all_of_them]
    for each in all_of_them:
        each.close()
    return waits
