"""One request on its way through the server, and the reply that an endpoint makes for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.json import dumps
from profiler.provider.mock_server.admission.faults import NO_FAULT, Fault
from profiler.provider.mock_server.reading.requests import UNSAID, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from profiler.provider.mock_server.admission.rate_limits import Need
    from profiler.provider.mock_server.endpoints import ServerEndpoint
    from profiler.provider.mock_server.settings import End
    from profiler.provider.mock_server.wire.request_parser import Incoming

JSON = "application/json"


class Call(msgspec.Struct, kw_only=True):
    """A request, where it goes, and what is known when it comes."""

    request: Incoming
    endpoint: ServerEndpoint
    named: str  # the id in the path
    request_id: str
    uptime: float
    now: float  # by the clock that can be moved
    wall: float
    version: Version = UNSAID
    fields: bytes = b""  # header lines that every reply to it has
    fault: Fault = NO_FAULT
    need: Need | None = None  # what it takes out of the limits, once that is known

    @property
    def body(self) -> bytes:
        return self.request.body

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.head.headers

    @property
    def query(self) -> str:
        return self.request.head.query

    @property
    def base_url(self) -> str:
        """What the client calls this server."""
        return f"http://{self.headers.get('host', 'localhost')}"


class ServerReply(msgspec.Struct, kw_only=True):
    """A body, made when all work is done, or one that comes in chunks. Each step of the work is a moment for others."""

    body: Callable[[], bytes] | bytes = b""
    chunks: Iterable[bytes] | None = None
    work: Iterable[None] = ()
    content_type: str = JSON
    status: int = 200
    ends: End = "keep"

    def whole_body(self) -> bytes:
        for _ in self.work:
            pass
        if self.chunks is not None:
            return b"".join(self.chunks)
        return self.body if isinstance(self.body, bytes) else self.body()


def json_reply(value: Callable[[], dict[str, Any]] | dict[str, Any], *, work: Iterable[None] = ()) -> ServerReply:
    if callable(value):
        made = value
        return ServerReply(body=lambda: dumps(made()), work=work)
    return ServerReply(body=dumps(value), work=work)
