"""Boxes that start warm: slow imports are made once, and each box is a fork of that process.

Each child has its own limits and ends on its own. A function, the entry, is called in it with a socket.
"""

from __future__ import annotations

import importlib.util
import socket
import tempfile
import threading
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING

from task_kit.sandbox import copying, interpreter, plan
from task_kit.sandbox.box import SPARE_S, hand_over, make_plan, outcome
from task_kit.sandbox.detection import sure_of
from task_kit.sandbox.launcher import Launcher
from task_kit.sandbox.level import Level
from task_kit.sandbox.spec import Limits, SandboxError, Spec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from task_kit.sandbox.launcher import Asked
    from task_kit.sandbox.spec import Outcome

HEADER = 8
MOST_BYTES = 1 << 30
SEND_S = 60.0
FOR_LIBRARIES = Limits(wall_s=600.0, cpu_s=600.0, memory_bytes=2 << 30)  # pandas and scikit-learn need that much


class Zygote:
    """The warm process. `entry` is "module:function"; the module is loaded from its file alone, and can use what is
    preloaded."""

    def __init__(
        self, *, preload: tuple[str, ...], entry: str, limits: Limits = FOR_LIBRARIES, level: Level | None = None
    ) -> None:
        self.limits = limits
        self.level = sure_of(level)
        self.folders = interpreter.packages(distributions_of(preload)) if preload else ()
        file, name = entry_file(entry)
        paths = [str(folder) for folder in self.folders]
        self.launcher = Launcher(
            {"paths": paths, "preload": list(preload), "entry_file": str(file), "entry_name": name}
        )
        self.children: set[Child] = set()
        self.counting = threading.Lock()

    def spawn(self, *, limits: Limits | None = None) -> Child:
        """Returns at once. The child answers when its box is ready."""
        scratch = None if self.level >= Level.NAMESPACES else Path(tempfile.mkdtemp(prefix="box-"))
        readable = (*self.folders, *interpreter.python_paths())
        wanted = limits or self.limits
        spec = Spec(argv=("entry",), env={}, cwd=Path("/"), readable=readable, writable=None, limits=wanted)
        ours, theirs = socket.socketpair()
        made = make_plan(spec, level=self.level, scratch=scratch)
        hand_over(made)
        with theirs:
            asked = self.launcher.ask(made, channel=theirs.fileno())
        child = Child(asked, channel=ours, limits=wanted, level=self.level, scratch=scratch)
        with self.counting:
            self.children = {known for known in self.children if not known.closed} | {child}
        return child

    def close(self) -> None:
        """End all children that are left, and then the process that they were forked from."""
        for child in self.children:
            child.kill()
            with suppress(SandboxError):
                child.outcome()
        self.launcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Child:
    """One box. Messages are whole bytes objects. What comes back was made by code that nobody trusts."""

    def __init__(
        self, asked: Asked, *, channel: socket.socket, limits: Limits, level: Level, scratch: Path | None
    ) -> None:
        self.asked = asked
        self.channel = channel
        self.limits = limits
        self.level = level
        self.scratch = scratch
        self.found: Outcome | None = None
        self.closed = False
        self.ending = threading.Lock()  # after a signal, two threads may wait for the same end
        self.started = time.monotonic()

    def send(self, message: bytes) -> None:
        """EOFError when the child has ended, TimeoutError when it does not read."""
        self.channel.settimeout(SEND_S)
        try:
            self.channel.sendall(len(message).to_bytes(HEADER, "big") + message)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise EOFError("the child has ended") from error

    def receive(self, timeout_s: float, *, most_bytes: int = MOST_BYTES) -> bytes:
        """EOFError when the child has ended or sends nonsense, TimeoutError when no whole message came in time."""
        deadline = time.monotonic() + timeout_s
        size = int.from_bytes(self.exactly(HEADER, deadline=deadline), "big")
        if size > most_bytes:
            raise EOFError(f"the child announced a message of {size} bytes, of at most {most_bytes}")
        return self.exactly(size, deadline=deadline)

    def exactly(self, size: int, *, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("nothing whole came from the child in time")
            self.channel.settimeout(left)
            try:
                part = self.channel.recv(min(size - len(parts), 1 << 20))
            except ConnectionResetError as error:
                raise EOFError("the child has ended") from error
            if not part:
                raise EOFError("the child has ended")
            parts += part
        return bytes(parts)

    def ends(self, timeout_s: float) -> bool:
        """Wait, for so long at most, until it ends by itself. A child that closed its socket may still run."""
        return self.asked.ends(timeout_s)

    def kill(self) -> None:
        """The end is under way when this returns; `outcome` waits for it."""
        self.asked.abandon()

    def outcome(self) -> Outcome:
        """Wait until the child and everything it started are dead."""
        with self.ending:
            if self.found is None:
                try:
                    left = self.started + self.limits.wall_s * plan.PATIENCE + SPARE_S - time.monotonic()
                    self.found = outcome(self.asked.report(timeout_s=left), self.level)
                finally:
                    self.close()
            return self.found

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.asked.close()
            self.channel.close()
            if self.scratch and self.scratch.exists():
                copying.remove(str(self.scratch))  # the supervisor did not get that far


def entry_file(entry: str) -> tuple[Path, str]:
    module, _, name = entry.partition(":")
    found = importlib.util.find_spec(module) if module and name.isidentifier() else None
    if found is None or found.origin is None:
        raise SandboxError(f"entry: expected module:function, found {entry!r}")
    return Path(found.origin), name


@cache
def providers() -> dict[str, list[str]]:
    return dict(packages_distributions())


def distributions_of(modules: Iterable[str]) -> list[str]:
    """Modules of the standard library need none."""
    return sorted({name for module in modules for name in providers().get(module.partition(".")[0], ())})
