"""The mock server as the other side of HTTP measurements: a process on a core of its own.

Comes in: options of `profiler mock-server`. Goes out: its address and its counters. With two cores or more the server
has the last one for itself, and what is measured the others, so that neither slows the other down.
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

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # proxies of the environment are not for us


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
    """Leave the last core, which is handed out, to the server; processes that are started take after this one."""
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
