"""The limit of HTTP in Python: requests written to bare connections, replies cut at their content-length.

No pool, no time-outs, no errors, and only one header is read: what is left is the event loop, one decode and one line
written. Each connection takes the next dialogue when it has its answer, without a task.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from benchmarks.peers import legs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from benchmarks.peers.legs import Leg

HEAD = b"POST /v1/messages HTTP/1.1\r\nhost: %b\r\nx-api-key: mock\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
LENGTH = b"content-length: "
NEW_LINE = orjson.OPT_APPEND_NEWLINE


class Asking(asyncio.Protocol):
    """One connection, which asks until there is nothing left."""

    def __init__(self, leg: Leg, turns: Iterator[bytes], file: BinaryIO) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leg = leg
        self._turns = turns
        self._file = file
        self._host = urlsplit(leg.base_url).netloc.encode()
        self._asked = ""
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received = received = self._received + data
        head_ends = received.find(b"\r\n\r\n")
        if head_ends < 0:
            return
        begins = received.index(LENGTH) + len(LENGTH)
        ends = head_ends + 4 + int(received[begins : received.index(b"\r\n", begins)])
        if len(received) < ends:
            return
        text = orjson.loads(received[head_ends + 4 : ends])["content"][0]["text"]
        self._file.write(orjson.dumps({"dialogue_id": self._asked, "completion": text}, option=NEW_LINE))
        self._received = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(exc or ConnectionError("closed by the server"))

    def _next(self) -> None:
        line = next(self._turns, None)
        if line is None:
            self.over.set_result(None)
            self._transport.close()
            return
        dialogue = orjson.loads(line)
        self._asked = dialogue["dialogue_id"]
        body = orjson.dumps(self._leg.request(dialogue))
        self._transport.write(HEAD % (self._host, len(body)) + body)


async def ask(leg: Leg) -> None:
    loop = asyncio.get_running_loop()
    parts = urlsplit(leg.base_url)
    host, port = parts.hostname or "", parts.port or 80
    with Path(leg.dataset).open("rb") as lines, Path(leg.answers).open("wb") as file:
        turns = iter(lines)
        connections = []
        for _ in range(leg.in_flight):
            _, asking = await loop.create_connection(lambda: Asking(leg, turns, file), host, port)
            connections.append(asking)
        for asking in connections:
            await asking.over


if __name__ == "__main__":
    legs.run_async(ask)
