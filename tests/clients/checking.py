"""Helps the programs that test foreign clients: runs their checks, and talks to the mock server about what it saw.

Those programs run in environments without this project, so this module needs only the standard library.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import traceback
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MODEL = "claude-haiku-4-5"
ADDRESS = os.environ.get("ANTHROPIC_BASE_URL", "")
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def control(path: str, body: Any = None) -> bytes:
    """`control("faults", {"script": ["429"]})` is `POST /__faults`; without a body it is a GET."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{ADDRESS}/__{path}", data, {"content-type": "application/octet-stream"})
    with _direct.open(request, timeout=20) as reply:
        got: bytes = reply.read()
        return got


def sent(query: str = "") -> list[dict[str, Any]]:
    """What the server says that it was asked."""
    return [json.loads(line) for line in control(f"requests?{query}").splitlines()]


def expect_one_of(found: Any, *wanted: Any) -> None:
    if found not in wanted:
        raise AssertionError(f"found {found!r}, expected {' or '.join(map(repr, wanted))}")


def run(names: Mapping[str, Any]) -> None:
    """Run every `check_…`, each on a server that is as new, and print how each ended."""
    checks: dict[str, Callable[[], Any]] = {name: each for name, each in names.items() if name.startswith("check_")}
    ended: dict[str, str | None] = {}
    for name, check in checks.items():
        control("reset", {})
        try:
            done = check()
            if inspect.isawaitable(done):
                asyncio.run(_finished(done))
            ended[name] = None
        except Exception:  # noqa: BLE001 (whatever a client raises is the finding)
            ended[name] = traceback.format_exc()
    print("\n" + json.dumps(ended), flush=True)


async def _finished(done: Any) -> None:
    await done
