"""The server as a whole: listening, stopping, and what a test may see and do; and the run of `profiler mock-server`.

with MockServer(latency_s=0.05) as server:              # in a thread of its own
    client = Anthropic(base_url=server.base_url, api_key="mock")

async with MockServer(script=["429"]) as server:        # in the running event loop
    ...
    server.assert_requests(2, endpoint="messages")
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio
import msgspec
from anyio.from_thread import start_blocking_portal

from profiler.core.errors import UsageError
from profiler.core.json import dumps
from profiler.provider.mock_server.admission.admission import FaultSpec, LimitSpec
from profiler.provider.mock_server.app import App
from profiler.provider.mock_server.control import is_loopback
from profiler.provider.mock_server.settings import ServerSettings
from profiler.provider.mock_server.wire.connection import ServerConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from anyio.from_thread import BlockingPortal

BACKLOG = 4096
OPEN_FILES = 1 << 16
INTERRUPTED = 130
ANY_KEY = "mock"

Found = TypeVar("Found")


class MockServer:
    """Listens at `base_url` as long as the `with` lasts. Settings are those of `ServerSettings`, by name or as one."""

    def __init__(self, settings: ServerSettings | None = None, /, **changes: Any) -> None:
        paths = {name: Path(value) for name, value in changes.items() if name.endswith("_path") and value is not None}
        self.settings = msgspec.structs.replace(settings or ServerSettings(), **(changes | paths))
        _check_host(self.settings)
        self.app = App(self.settings)
        self.base_url = ""
        self.port = 0
        self._connections: set[ServerConnection] = set()
        self._server: asyncio.Server
        self._portal: BlockingPortal | None = None  # into the thread that it runs in, if that is its own
        self._stack = ExitStack()

    # for tests

    @property
    def environ(self) -> dict[str, str]:
        """What leads an SDK here."""
        return {"ANTHROPIC_BASE_URL": self.base_url, "ANTHROPIC_API_KEY": self.settings.key or ANY_KEY}

    @property
    def stats(self) -> dict[str, Any]:
        """What `/__stats?asked` tells."""
        return self._inside(lambda: self.app.snapshot(asked=True))

    def reset(self) -> None:
        """As it was at the start."""
        self._inside(self.app.reset)

    def requests(self, **filters: str | int) -> list[dict[str, Any]]:
        """What clients really sent, as `/__requests` tells it: `requests(endpoint="messages", tail=1)`."""
        query = {name: str(value) for name, value in filters.items()}
        return self._inside(lambda: list(self.app.journal.lines(query)))

    def assert_requests(self, times: int | None = None, **filters: str | int) -> list[dict[str, Any]]:
        """Fails unless requests that pass the filters came, and so often if that is said; gives them."""
        found = self.requests(**filters)
        if len(found) == times or (times is None and found):
            return found
        wanted = "at least one request" if times is None else f"{times} requests"
        given = ", ".join(f"{name}={value!r}" for name, value in filters.items())
        came = [f"  {each['n']}. {each['method']} {each['path']} -> {each['status']}" for each in self.requests()]
        raise AssertionError(
            f"expected {wanted} with ({given}), found {len(found)}; all that came:\n" + ("\n".join(came) or "  none")
        )

    def set_faults(self, script: Sequence[Any] = (), *, rates: dict[str, float] | None = None) -> None:
        """The faults from now on; without arguments none."""
        spec = FaultSpec(script=list(script), rates=rates or {})
        self._inside(lambda: self.app.admission.set_faults(spec))

    def set_limits(self, **limits: Any) -> None:
        """The limits from now on, as `POST /__limits` takes them; without arguments none."""
        spec = msgspec.convert(limits, LimitSpec)
        self._inside(lambda: self.app.admission.set_limits(spec))

    def advance(self, seconds: float) -> None:
        """Move the clock of the server: batches get done and expire, buckets fill, caches are forgotten."""
        self._inside(lambda: self.app.clock.advance(seconds))

    def add_file(self, name: str, data: bytes, *, mime_type: str | None = None) -> str:
        """A file that can be downloaded, as if a tool of the provider had made it; gives its id."""
        wall = self.app.clock.wall()
        added = self._inside(lambda: self.app.files.add(data, name=name, mime_type=mime_type, wall=wall))
        return str(added["id"])

    def _inside(self, action: Callable[[], Found]) -> Found:
        """Where the state of the server is changed, nothing else may run."""
        return action() if self._portal is None else self._portal.call(action)

    # listening

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(self))
            self._portal = portal
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._portal = None
        self._stack.close()

    async def __aenter__(self) -> Self:
        port = self.settings.port
        host = "127.0.0.1" if self.settings.host == "localhost" else self.settings.host  # one address, one free port
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: ServerConnection(self.app, self._connections), host, port, backlog=BACKLOG
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


def serve(
    settings: ServerSettings,
    *,
    announce: Callable[[str], None],
    remark: Callable[[str], None],
    as_json: bool = False,
) -> int:
    """Listen until a signal comes. Says where on `announce`, and everything else on `remark`."""
    _raise_open_files()
    uvloop = sys.platform != "win32" and find_spec("uvloop") is not None
    return anyio.run(_serve, settings, announce, remark, as_json, backend_options={"use_uvloop": uvloop})


async def _serve(
    settings: ServerSettings, announce: Callable[[str], None], remark: Callable[[str], None], as_json: bool
) -> int:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with MockServer(settings) as server:
            told = {"base_url": server.base_url, "host": settings.host, "port": server.port, "pid": os.getpid()}
            announce(dumps(told).decode() if as_json else f"mock-server listening on {server.base_url}")
            remark("export " + " ".join(f"{name}={value}" for name, value in server.environ.items()))
            remark("counters: GET /__stats, from zero: POST /__reset; what was sent: GET /__requests; stop with Ctrl-C")
            signum = await anext(signals)
            remark(f"stopped; {dumps(server.app.snapshot()).decode()}")
    return INTERRUPTED if signum == signal.SIGINT else 0


def _check_host(settings: ServerSettings) -> None:
    """Anybody who reaches it gets answers, so others than this machine must be allowed by name."""
    if not is_loopback(settings.host) and not settings.allow_remote:
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
