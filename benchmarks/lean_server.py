"""A server that leaves as much of the machine as it can to whoever asks it: no check, and the same bytes for every request.

    python -m benchmarks.lean_server FILE

answers with the bytes of FILE. It costs less than the bare server, which reads with asyncio's streams as most servers do.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio

LENGTH = b"content-length: "


class Answering(asyncio.Protocol):
    def __init__(self, reply: bytes) -> None:
        self._reply = reply
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := _end_of_request(self._received)) is not None:
            self._received = self._received[end:]
            self._transport.write(self._reply)


def _end_of_request(received: bytes) -> int | None:
    """Where the first request ends; None while it has not come whole."""
    head_ends = received.find(b"\r\n\r\n")
    if head_ends < 0:
        return None
    begins = received.index(LENGTH) + len(LENGTH)
    end = head_ends + 4 + int(received[begins : received.index(b"\r\n", begins)])
    return end if end <= len(received) else None


async def serve(reply: bytes) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Answering, reply), "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop = importlib.util.find_spec("uvloop") is not None
    anyio.run(serve, Path(sys.argv[1]).read_bytes(), backend_options={"use_uvloop": uvloop})
