"""Runs the mock server for measurements over HTTP: a process on a core of its own.

With two cores or more the server gets the last one for itself, and what is measured gets the others, so that neither
slows the other down.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.process import ROOT, ChildFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30

# a proxy from the environment must not be used here
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Serving(NamedTuple):
    base_url: str

    def stats(self) -> dict[str, Any]:
        return _json(urllib.request.Request(f"{self.base_url}/__stats"))

    def reset(self) -> None:
        _json(urllib.request.Request(f"{self.base_url}/__reset", method="POST"))


@contextmanager
def serving(*options: str) -> Iterator[Serving]:
    command = [sys.executable, "-m", "profiler", "mock-server", "--port", "0", *options]
    pipe = subprocess.PIPE
    with _others_for_us() as last, subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as child:
        if last:
            os.sched_setaffinity(child.pid, last)
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise ChildFailed(f"the mock server did not start: {child.communicate(timeout=PATIENCE_S)[1]}")
        try:
            yield Serving(line.rpartition(" ")[2].strip())
        finally:
            child.send_signal(signal.SIGTERM)
            child.communicate(timeout=PATIENCE_S)


@contextmanager
def _others_for_us() -> Iterator[set[int]]:
    """Keep this process, and those that it starts, off the last core. Yields that core for the server."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
    if len(cores) < 2:
        yield set()
        return
    last = {max(cores)}
    os.sched_setaffinity(0, cores - last)
    try:
        yield last
    finally:
        os.sched_setaffinity(0, cores)


def _json(request: urllib.request.Request) -> dict[str, Any]:
    with _direct.open(request, timeout=PATIENCE_S) as reply:
        found: dict[str, Any] = json.load(reply)
        return found
