"""Runs the mock server in a process of its own, for tests that must not share an event loop with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 30

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # proxies of the environment are not for us


class Server(NamedTuple):
    base_url: str
    process: subprocess.Popen[str]

    def stats(self) -> dict[str, Any]:
        """What the server has seen, with every dialogue or body it was asked for."""
        return _json(urllib.request.Request(f"{self.base_url}/__stats?asked"))

    def reset(self) -> dict[str, Any]:
        """Begin from zero; gives what was counted until then."""
        return _json(urllib.request.Request(f"{self.base_url}/__reset", method="POST"))


@contextmanager
def mock_server(*options: str) -> Iterator[Server]:
    """`with mock_server("--latency", "0.05") as server:` runs `profiler mock-server --port 0 --latency 0.05`."""
    command = [sys.executable, "-m", "profiler", "mock-server", "--port", "0", *options]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            _, complaint = process.communicate(timeout=PATIENCE_S)
            raise RuntimeError(f"the mock server did not start: {complaint}")
        try:
            yield Server(line.rpartition(" ")[2].strip(), process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE_S)


def _json(request: urllib.request.Request) -> dict[str, Any]:
    with _direct.open(request, timeout=PATIENCE_S) as reply:
        found: dict[str, Any] = json.load(reply)
        return found
