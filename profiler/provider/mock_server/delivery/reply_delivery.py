"""How the reply of an endpoint reaches its asker: in one piece or in chunks, or broken by a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.provider.mock_server.admission.faults import (
    BROKEN_TRANSPORTS,
    WRONG_REPLIES,
    Fault,
    broken_transport,
    wrong_reply,
)
from profiler.provider.mock_server.wire.reply_bytes import LAST_CHUNK, chunk, render, render_chunked_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from profiler.provider.mock_server.admission.calls import ServerReply
    from profiler.provider.mock_server.settings import End

SOON_S = 1e-6  # long enough for the event loop to serve others between two pieces of work


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
