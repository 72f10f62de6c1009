"""Makes real attempts to get out of a box at one level, and says what became of them.

Attempts that leave traces outside are judged by those.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import signal
import socket
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from task_kit.sandbox import interpreter, kernel
from task_kit.sandbox.box import boxed
from task_kit.sandbox.level import Level
from task_kit.sandbox.spec import Limits, SandboxError, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHARED_MEMORY = "/dev/shm"  # noqa: S108 -- that others see it is the point
SCRIPT = Path(__file__).with_name("escapes.py")
LIMITS = Limits(wall_s=20.0, cpu_s=10.0, output_bytes=1 << 20)
NR_SHMGET = {"x86_64": 29, "aarch64": 194}

OF_PROCESSES = ("environment", "descriptors", "become_root", "gain_by_programs", "terminal")
OF_THE_KERNEL = (
    *("read_secret", "read_shadow", "list_folder", "write_beside", "truncate_secret", "change_mode"),
    *("parent_environment", "parent_memory", "parent_memory_file", "trace_parent", "signal_parent", "limit_parent"),
    "see_processes",
    *("loopback", "network", "abstract_socket", "unix_socket", "kernel_settings", "user_namespace", "mount"),
    *("change_root", "raw_device", "shared_memory", "message_queue", "memory_file", "keyring", "rings"),
    *("watch_performance", "load_programs", "page_faults"),
)
OF_NAMESPACES = ("see_name",)
LASTING = "daemon"  # slow, because the box waits a moment for what is left before it ends it
ATTEMPTS = (*OF_PROCESSES, *OF_THE_KERNEL, *OF_NAMESPACES)

CLAIMS = {
    Level.PROCESS: frozenset({*OF_PROCESSES, LASTING}),
    Level.KERNEL: frozenset({*OF_PROCESSES, *OF_THE_KERNEL, LASTING}),
    Level.NAMESPACES: frozenset({*ATTEMPTS, LASTING}),
    Level.CONTAINER: frozenset({*ATTEMPTS, LASTING}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One attempt. `claimed`: the level claims to stop it. Others are tried and reported too."""

    name: str
    stopped: bool
    said: str
    claimed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bait:
    """What lies outside for an escape to reach, and how to find out that it was reached."""

    told: dict[str, object]
    traces: dict[str, Callable[[], bool]]


def probe(level: Level, *, lasting: bool) -> tuple[Probe, ...]:
    """`lasting` adds the attempt to outlive the box."""
    attempts = [*ATTEMPTS, LASTING] if lasting else list(ATTEMPTS)
    with bait() as laid:
        answers = attempted(laid, level=level, attempts=attempts)
        return tuple(judged(name, answers.get(name), laid=laid, claimed=name in CLAIMS[level]) for name in attempts)


def attempted(laid: Bait, *, level: Level, attempts: list[str]) -> dict[str, tuple[bool, str]]:
    told = json.dumps({**laid.told, "attempts": attempts})
    argv = (*interpreter.python(), str(SCRIPT), told)
    readable = (*interpreter.python_paths(), SCRIPT)
    outcome = boxed(Spec(argv=argv, env={}, cwd=Path("/"), readable=readable, writable=None, limits=LIMITS), level)
    if outcome.exit_code != 0:
        said = outcome.stderr.decode(errors="replace").strip()
        raise SandboxError(f"level {level.label}: the probes did not run: {outcome.reason or said or outcome.signal}")
    return {name: (bool(stopped), str(said)) for name, (stopped, said) in json.loads(outcome.stdout).items()}


def judged(name: str, answer: tuple[bool, str] | None, *, laid: Bait, claimed: bool) -> Probe:
    stopped, said = answer or (False, "the attempt said nothing")
    if name in laid.traces:
        stopped = not laid.traces[name]()
    return Probe(name=name, stopped=stopped, said=said, claimed=claimed)


@contextmanager
def bait() -> Iterator[Bait]:
    """Lay out bait that everybody may use by its modes, so that only the box can stop an attempt."""
    token = "x" + secrets.token_hex(12)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bait-")))
        folder.chmod(0o777)
        for name in ("secret", "short"):
            (folder / name).write_text(token, encoding="utf-8")
            (folder / name).chmod(0o666)
        loopback = stack.enter_context(listener(socket.AF_INET, ("127.0.0.1", 0)))
        abstract = stack.enter_context(listener(socket.AF_UNIX, "\0" + token))
        by_path = stack.enter_context(listener(socket.AF_UNIX, str(folder / "socket")))
        (folder / "socket").chmod(0o777)
        planted = ctypes.create_string_buffer(token.encode())
        key = secrets.randbelow(1 << 30) + 1
        stack.callback(remove_traces, token=token, key=key)
        told: dict[str, object] = {
            "token": token,
            "folder": str(folder),
            "secret": str(folder / "secret"),
            "short": str(folder / "short"),
            "socket": str(folder / "socket"),
            "port": loopback.getsockname()[1],
            "key": key,
            "pid": os.getpid(),
            "address": ctypes.addressof(planted),
            "size": len(token),
        }
        traces = {
            "write_beside": (folder / "written").exists,
            "truncate_secret": lambda: not (folder / "short").stat().st_size,
            "change_mode": lambda: (folder / "short").stat().st_mode & 0o777 != 0o666,
            "loopback": lambda: reached(loopback),
            "abstract_socket": lambda: reached(abstract),
            "unix_socket": lambda: reached(by_path),
            "shared_memory": lambda: segment(key) is not None,
            "memory_file": Path(SHARED_MEMORY, token).exists,
            "daemon": lambda: bool(running(token)),
        }
        yield Bait(told=told, traces=traces)


@contextmanager
def listener(family: int, address: tuple[str, int] | str) -> Iterator[socket.socket]:
    with socket.socket(family) as listening:
        listening.bind(address)
        listening.listen()
        listening.setblocking(False)
        yield listening


def reached(listening: socket.socket) -> bool:
    try:
        listening.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def segment(key: int) -> int | None:
    words = (ctypes.c_int(key), ctypes.c_size_t(0), ctypes.c_int(0))
    try:
        return kernel.syscall(NR_SHMGET[kernel.machine()], *words, what="shmget")
    except OSError:
        return None


def running(token: str) -> list[int]:
    """Processes with the token as an argument; by then the box and what started it are gone."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                if (folder / "cmdline").read_bytes().rstrip(b"\0").endswith(token.encode()):
                    found.append(int(folder.name))
    return found


def remove_traces(*, token: str, key: int) -> None:
    """Remove what an escape may have left behind."""
    Path(SHARED_MEMORY, token).unlink(missing_ok=True)
    kernel.LIBC.mq_unlink(f"/{token}".encode())
    if (found := segment(key)) is not None:
        kernel.LIBC.shmctl(found, 0, None)
    for pid in running(token):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
