"""The server as a whole: listening, stopping, and the run of `profiler mock-server`.

Comes in: settings. Goes out: an address that answers until it is told to stop.
"""

from __future__ import annotations

import asyncio
import ipaddress
import resource
import signal
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

import anyio

from profiler.core.errors import UsageError
from profiler.core.json import dumps
from profiler.provider.mock_server.app import App
from profiler.provider.mock_server.connection import Connection
from profiler.provider.mock_server.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

BACKLOG = 4096
OPEN_FILES = 1 << 16
INTERRUPTED = 130


class MockServer:
    """`async with MockServer(settings) as server:` listens at `server.base_url` in the running event loop."""

    def __init__(self, settings: ServerSettings | None = None) -> None:
        self.settings = settings or ServerSettings()
        _check_host(self.settings)
        self.app = App(self.settings)
        self.base_url = ""
        self.port = 0
        self._connections: set[Connection] = set()
        self._server: asyncio.Server

    @property
    def stats(self) -> dict[str, Any]:
        """What `/__stats?asked` tells."""
        return self.app.snapshot(asked=True)

    def reset(self) -> None:
        self.app.reset()

    async def __aenter__(self) -> Self:
        port = self.settings.port
        host = "127.0.0.1" if self.settings.host == "localhost" else self.settings.host  # one address, one free port
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self.app, self._connections), host, port, backlog=BACKLOG
            )
        except OSError as error:
            raise UsageError(
                f"cannot listen on {host}:{port}: {error.strerror or error}", hint="--port 0 takes one that is free"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.base_url = f"http://{shown}:{self.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in tuple(self._connections):
            connection.stop()
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await self._server.wait_closed()


def serve(settings: ServerSettings, *, announce: Callable[[str], None], remark: Callable[[str], None]) -> int:
    """Listen until a signal comes. Says where on `announce`, and everything else on `remark`."""
    _raise_open_files()
    uvloop = sys.platform != "win32" and find_spec("uvloop") is not None
    return anyio.run(_serve, settings, announce, remark, backend_options={"use_uvloop": uvloop})


async def _serve(settings: ServerSettings, announce: Callable[[str], None], remark: Callable[[str], None]) -> int:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with MockServer(settings) as server:
            announce(f"mock-server listening on {server.base_url}")
            key = settings.key or "mock"
            remark(f"export ANTHROPIC_BASE_URL={server.base_url} ANTHROPIC_API_KEY={key}")
            remark("counters: GET /__stats, from zero: POST /__reset; stop with Ctrl-C")
            signum = await anext(signals)
            remark(f"stopped; {dumps(server.app.snapshot()).decode()}")
    return INTERRUPTED if signum == signal.SIGINT else 0


def _check_host(settings: ServerSettings) -> None:
    """Anybody who reaches it gets answers, so others than this machine must be allowed by name."""
    try:
        local = settings.host == "localhost" or ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        local = False
    if not local and not settings.allow_remote:
        raise UsageError(
            f"--host: found {settings.host!r}, which other machines may reach",
            hint="--allow-remote says that this is meant",
        )


def _raise_open_files() -> None:
    """Each connection is an open file, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft < wanted:
        with suppress(ValueError, OSError):  # then fewer connections are open at once
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
