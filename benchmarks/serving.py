"""Runs the mock server for measurements over HTTP: a process on a core of its own.

With two cores or more the server gets the last one for itself, and what is measured gets the others, so that neither
slows the other down. Not so where several processes are measured, which want more than one core (`anywhere`): there the
system puts them and the server where it likes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.process import ROOT, ChildFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

PATIENCE_S = 30
CORES = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()  # before any of them is left to a server

# a proxy from the environment must not be used here
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Serving(NamedTuple):
    base_url: str
    pid: int

    def stats(self) -> dict[str, Any]:
        return _json(urllib.request.Request(f"{self.base_url}/__stats"))

    def reset(self) -> None:
        _json(urllib.request.Request(f"{self.base_url}/__reset", method="POST"))

    def used_s(self) -> float:
        """Processor time of the process so far; where Linux tells it."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    def memory_mb(self) -> float:
        """What the process holds now; where Linux tells it."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024 / 1e6


def serving(*options: str, anywhere: bool = False) -> AbstractContextManager[Serving]:
    return _started("-m", "profiler", "mock-server", "--port", "0", *options, anywhere=anywhere)


def serving_bare(reply: Path, *, wait_s: float = 0.0, loop: str = "asyncio") -> AbstractContextManager[Serving]:
    """A server that says the same to everybody, in the least of work."""
    return _started("-m", "benchmarks.bare_server", str(reply), str(wait_s), loop)


def serving_lean(reply: Path) -> AbstractContextManager[Serving]:
    """The same, in still less; it may use any core."""
    return _started("-m", "benchmarks.lean_server", str(reply), anywhere=True)


@contextmanager
def _started(*words: str, anywhere: bool = False) -> Iterator[Serving]:
    command = [sys.executable, *words]
    pipe = subprocess.PIPE
    with (
        nullcontext(set[int]()) if anywhere else _others_for_us() as last,
        subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as child,
    ):
        if last:
            os.sched_setaffinity(child.pid, last)
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise ChildFailed(f"the server did not start: {child.communicate(timeout=PATIENCE_S)[1]}")
        try:
            yield Serving(line.rpartition(" ")[2].strip(), child.pid)
        finally:
            child.send_signal(signal.SIGTERM)
            child.communicate(timeout=PATIENCE_S)


@contextmanager
def _others_for_us() -> Iterator[set[int]]:
    """Keep this process, and those that it starts, off the last core. Yields that core for the server."""
    if len(CORES) < 2:
        yield set()
        return
    last, before = {max(CORES)}, os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES - last)
    try:
        yield last
    finally:
        os.sched_setaffinity(0, before)


def _json(request: urllib.request.Request) -> dict[str, Any]:
    with _direct.open(request, timeout=PATIENCE_S) as reply:
        found: dict[str, Any] = json.load(reply)
        return found
