"""The entry of warm boxes in the tests: answers each message with what its text evaluates to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

HEADER = 8


def exactly(connected: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = connected.recv(size - len(parts))
        if not part:
            raise SystemExit
        parts += part
    return parts


def serve(connected: socket.socket) -> None:
    names: dict[str, object] = {}
    while True:
        code = exactly(connected, int.from_bytes(exactly(connected, HEADER), "big"))
        exec(code, names)
        answer = str(names.get("answer")).encode()
        connected.sendall(len(answer).to_bytes(HEADER, "big") + answer)
