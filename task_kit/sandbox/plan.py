"""The plan: what a supervisor is told, as plain values that cross a pipe.

The modules that a supervisor imports (this one and those it names) avoid `dataclasses`, `enum`, `json`, `pathlib`,
`signal` and `typing`: importing those would take longer than building the box.
"""

from __future__ import annotations

import marshal
import math
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class LimitValues(TypedDict):
        wall_s: float
        cpu_s: float
        memory_bytes: int
        processes: int
        file_bytes: int
        disk_bytes: int
        output_bytes: int
        open_files: int

    class Plan(TypedDict):
        level: int
        argv: list[str]
        env: dict[str, str]
        cwd: str
        readable: list[str]
        masked: list[str]  # never readable, though it lies below something that is
        writable: str | None
        room: str | None  # a file that keeps the room on disk for what will be fetched, and is removed before that
        scratch: str | None  # a second writable folder, for temporary files, where there is no private /tmp
        uid: int | None  # who to become; None for an ordinary user, who stays
        search: (
            bool  # root's right to pass closed folders and to read is kept, as what is readable may be closed to others
        )
        limits: LimitValues

    class Warmth(TypedDict):
        paths: list[str]  # added to sys.path
        preload: list[str]
        entry_file: str | None
        entry_name: str

    class Report(TypedDict, total=False):
        error: str
        status: int
        reason: str | None
        stdout: bytes
        stderr: bytes
        wall_s: float
        own_s: float
        cpu_s: float
        peak_bytes: int
        leftover: bool


PROCESS, KERNEL, NAMESPACES, CONTAINER = 1, 2, 3, 4

HEADER = 8
PATIENCE = 6  # a box may take so many times its time limit on the clock, if a busy machine keeps it waiting


def pack(message: object) -> bytes:
    body = marshal.dumps(message)  # type: ignore[arg-type] # plain values, by the types above
    return len(body).to_bytes(HEADER, "big") + body


def unpack(body: bytes) -> object:
    value: object = marshal.loads(body)  # noqa: S302 -- both ends are ours, of one version; code inside has neither
    return value


def write(fd: int, message: object) -> None:
    rest = memoryview(pack(message))
    while rest:
        rest = rest[os.write(fd, rest) :]


def read(fd: int) -> object:
    """The next message, or None when the other side has closed."""
    header = read_exactly(fd, HEADER)
    if header is None:
        return None
    body = read_exactly(fd, int.from_bytes(header, "big"))
    return None if body is None else unpack(body)


def ready(fds: list[int], seconds: float) -> list[int]:
    """Those that can be read or have ended, after so long at most.

    Not `select`, which cannot handle numbers above 1,023.
    """
    polled = select.poll()
    for fd in fds:
        polled.register(fd, select.POLLIN)
    return [fd for fd, _ in polled.poll(math.ceil(max(0.0, seconds) * 1000))]


def read_exactly(fd: int, size: int) -> bytes | None:
    parts = b""
    while len(parts) < size:
        part = os.read(fd, size - len(parts))
        if not part:
            return None
        parts += part
    return parts
