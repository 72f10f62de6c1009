"""Workers without a box: forks of this very process, for tests that are not about the box."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from task_kit.leakage_modeling.inside import serve

if TYPE_CHECKING:
    from task_kit.sandbox.spec import Reason


class Ended(NamedTuple):
    reason: Reason | None = None


class PlainChild:
    """A fork that serves one socket."""

    def __init__(self) -> None:
        here, there = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            here.close()
            _live(there)
        there.close()
        self._socket = here
        self._ended = False

    def send(self, message: bytes) -> None:
        self._socket.settimeout(10)
        self._socket.sendall(len(message).to_bytes(8, "big") + message)

    def receive(self, timeout_s: float) -> bytes:
        self._socket.settimeout(timeout_s)
        return self._exactly(int.from_bytes(self._exactly(8), "big"))

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def outcome(self) -> Ended:
        if not self._ended:
            os.waitpid(self.pid, 0)
            self._socket.close()
            self._ended = True
        return Ended()

    def _exactly(self, size: int) -> bytes:
        parts = b""
        while len(parts) < size:
            part = self._socket.recv(size - len(parts))
            if not part:
                raise EOFError
            parts += part
        return parts


class PlainNursery:
    def spawn(self) -> PlainChild:
        return PlainChild()

    def close(self) -> None:
        """Its children are ended by who asked for them."""


def _live(connection: socket.socket) -> NoReturn:
    try:
        serve(connection)
    finally:
        os._exit(0)
