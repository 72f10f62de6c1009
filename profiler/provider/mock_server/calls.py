"""One request on its way through the server, and the reply that an endpoint makes for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.json import dumps
from profiler.provider.mock_server.faults import (
    BROKEN_TRANSPORTS,
    NO_FAULT,
    WRONG_REPLIES,
    Fault,
    broken_transport,
    wrong_reply,
)
from profiler.provider.mock_server.http import LAST_CHUNK, Incoming, chunk, render, render_chunked_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from profiler.provider.mock_server.endpoints import ServerEndpoint
    from profiler.provider.mock_server.rate_limits import Need
    from profiler.provider.mock_server.settings import End

SOON_S = 1e-6  # long enough for the event loop to serve others between two pieces of work
JSON = "application/json"


class Call(msgspec.Struct, kw_only=True):
    """A request, where it goes, and what is known when it comes."""

    request: Incoming
    endpoint: ServerEndpoint
    named: str  # the id in the path
    request_id: str
    now: float
    wall: float
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


def deliver_reply(
    reply: ServerReply, *, fields: bytes, fault: Fault, trickle_s: float
) -> tuple[Iterable[tuple[float, bytes]], End, int]:
    """What is written and when, how it ends, and with which status (0: no reply that has one)."""
    name = fault.fault
    if name in WRONG_REPLIES:
        wrong = wrong_reply(name, reply.whole_body(), fields=fields)
        return [(fault.delay_s, wrong)], "keep", 502 if name == "502" else 200
    if name in BROKEN_TRANSPORTS:
        whole = render(reply.status, reply.whole_body(), fields=fields, content_type=reply.content_type)
        broken, end = broken_transport(name, whole, trickle_s=trickle_s)
        return [(fault.delay_s, b""), *broken], end, reply.status if end == "keep" else 0
    if reply.ends != "keep":
        return [(fault.delay_s, b"")], reply.ends, 0
    if reply.chunks is None and reply.work == ():
        whole = render(reply.status, reply.whole_body(), fields=fields, content_type=reply.content_type)
        return [(fault.delay_s, whole)], "keep", reply.status
    return _pieces(reply, fields=fields, delay_s=fault.delay_s), "keep", reply.status


def _pieces(reply: ServerReply, *, fields: bytes, delay_s: float) -> Iterator[tuple[float, bytes]]:
    if delay_s:
        yield delay_s, b""
    for _ in reply.work:
        yield SOON_S, b""
    if reply.chunks is None:
        yield 0.0, render(reply.status, reply.whole_body(), fields=fields, content_type=reply.content_type)
        return
    yield 0.0, render_chunked_head(reply.status, fields=fields, content_type=reply.content_type)
    for each in reply.chunks:
        yield 0.0, chunk(each)
    yield 0.0, LAST_CHUNK
