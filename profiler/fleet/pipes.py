"""Lines over a pipe, without a thread: a thread that waits for a line cannot be ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AT_ONCE = 1 << 16


async def lines_from(fd: int) -> AsyncIterator[bytes]:
    """Yield whole lines until the other end closes. A torn last line is ignored."""
    os.set_blocking(fd, False)
    rest = b""
    while True:
        await anyio.wait_readable(fd)
        try:
            block = os.read(fd, AT_ONCE)
        except BlockingIOError:
            continue
        if not block:
            return
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line


def write_all(fd: int, block: bytes) -> None:
    """Raises BrokenPipeError when nobody listens any more."""
    written = 0
    while written < len(block):
        written += os.write(fd, block[written:])
