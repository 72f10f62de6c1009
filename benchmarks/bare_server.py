"""As little as a server in Python can be: asyncio's streams, no check, and the same bytes for every request.

    python -m benchmarks.bare_server FILE SECONDS asyncio|uvloop

answers with the bytes of FILE, so many seconds after each request. What the mock server is measured by.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

import anyio

LENGTH = b"content-length: "


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, reply: bytes, wait_s: float) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            begins = head.index(LENGTH) + len(LENGTH)
            await reader.readexactly(int(head[begins : head.index(b"\r\n", begins)]))
            if wait_s:
                await asyncio.sleep(wait_s)
            writer.write(reply)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve(reply: bytes, wait_s: float) -> None:
    server = await asyncio.start_server(partial(answer, reply=reply, wait_s=wait_s), "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    file, seconds, loop = sys.argv[1:]
    anyio.run(serve, Path(file).read_bytes(), float(seconds), backend_options={"use_uvloop": loop == "uvloop"})
