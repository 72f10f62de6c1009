"""Secrets that an audit lays out for cheats, and tells them where to find: a cheat that gets one has left its box.

They are a file that everyone may read in a folder that everyone may write to, a server on this machine, and a variable
in the environment of the grading processes.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE: Final = "GRADER_AUDIT_LOOT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loot:
    secret: str
    file: Path
    port: int

    def words(self) -> dict[str, str]:
        """The values of the placeholders in a corpus, for the process that grades."""
        return {
            "@LOOT@": self.secret,
            "@LOOT_FILE@": str(self.file),
            "@LOOT_PORT@": str(self.port),
            "@GRADER_PID@": str(os.getpid()),
            "@PROJECT@": str(Path(__file__).resolve().parents[3]),
        }


@contextmanager
def laid_out() -> Iterator[Loot]:
    """Lay the loot out. Processes started inside the block have the secret in their environment."""
    secret = secrets.token_hex(16)
    folder = Path(tempfile.mkdtemp(prefix="loot-"))
    os.environ[VARIABLE] = secret
    try:
        with _server() as port:
            folder.chmod(0o777)
            (folder / "expected.json").write_text(f'{{"loot": "{secret}"}}', encoding="utf-8")
            yield Loot(secret=secret, file=folder / "expected.json", port=port)
    finally:
        del os.environ[VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _server() -> Iterator[int]:
    """A port of this machine that accepts TCP connections and answers UDP datagrams."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(("127.0.0.1", port))
            echo = threading.Thread(target=_echo, args=(datagrams,))
            echo.start()
            try:
                yield port
            finally:
                datagrams.sendto(b"", datagrams.getsockname())
                echo.join()


def _echo(datagrams: socket.socket) -> None:
    while True:
        said, sender = datagrams.recvfrom(2048)
        if not said:
            return
        datagrams.sendto(said, sender)
