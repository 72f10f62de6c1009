"""Answers the live requests of a box from outside, so that nothing inside can make the answers up, and counts them.

The stand-in for the SDK hands each request through a socket that lies in the box as a file. Whoever asks is answered;
what was asked, and how often, is what the grader compares. Only where the box has a view of its own can the socket be
shown to it; elsewhere the answers are signed inside and nothing is counted.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from grader.experiment_profiler.worlds import marks

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from grader.experiment_profiler.boxes.box import Box
    from grader.experiment_profiler.worlds.replies import Question

REQUEST_BYTES: Final = 1 << 20
PATIENCE_S: Final = 2.0  # for who opens a connection and says nothing
WAITING: Final = 128
ASKED: Final = ("api_key", "base_url", "max_tokens", "model", "system", "temperature", "user")


class Wire:
    """Listens while a box runs. `asked` counts each question by the canonical text of all its parts."""

    def __init__(self, box: Box) -> None:
        self.asked: Counter[str] = Counter()
        self._secret = box.secrets.live
        self._path = box.wire

    def __enter__(self) -> Self:
        self._listener = listening(self._path)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed: the box has ended
            with connection, suppress(OSError, ValueError, RecursionError):
                connection.settimeout(PATIENCE_S)
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        said = bytearray()
        while block := connection.recv(1 << 16):
            said += block
            if len(said) > REQUEST_BYTES:
                return
        asked = json.loads(said)
        if not isinstance(asked, dict) or tuple(sorted(asked)) != ASKED:
            return
        self.asked[question(asked)] += 1
        connection.sendall(json.dumps(marks.live_message(self._secret, **asked)).encode())


def question(asked: dict[str, Any] | Question) -> str:
    return json.dumps(asked, sort_keys=True)


def listening(path: Path) -> socket.socket:
    """By way of the folder's descriptor: the name of a socket may have 107 bytes only."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
    path.chmod(0o666)
    listener.listen(WAITING)
    return listener
