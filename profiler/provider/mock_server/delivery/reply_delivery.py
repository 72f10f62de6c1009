"""How the reply of an endpoint reaches its asker: in one piece or in chunks, or broken by a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.provider.mock_server.admission.faults import (
    BROKEN_TRANSPORTS,
    WRONG_REPLIES,
    broken_transport,
    wrong_reply,
)
from profiler.provider.mock_server.settings import Outgoing
from profiler.provider.mock_server.wire.reply_bytes import LAST_CHUNK, chunk, render, render_chunked_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from profiler.provider.mock_server.admission.calls import Call, ServerReply

SOON_S = 1e-6  # long enough for the event loop to serve others between two pieces of work


def deliver_reply(reply: ServerReply, call: Call, *, fields: bytes, trickle_s: float) -> Outgoing:
    """What is written for a call and when, how it ends, and with which status (0: no reply that has one)."""
    name, delay_s = call.fault.fault, call.fault.delay_s
    pieces: Iterable[tuple[float, bytes]]
    status, end = reply.status, reply.ends
    if name in WRONG_REPLIES:
        pieces = [(delay_s, wrong_reply(name, reply.whole_body(), fields=fields))]
        status, end = 502 if name == "502" else 200, "keep"
    elif name in BROKEN_TRANSPORTS:
        broken, end = broken_transport(name, _whole(reply, fields), trickle_s=trickle_s)
        pieces = [(delay_s, b""), *broken]
    elif end != "keep":
        pieces = [(delay_s, b"")]
    elif reply.chunks is None and reply.work == ():
        pieces = [(delay_s, _whole(reply, fields))]
    else:
        pieces = _pieces(reply, fields=fields, delay_s=delay_s)
    return Outgoing(pieces=pieces, end=end, endpoint=call.endpoint.counted_as, status=status if end == "keep" else 0)


def _whole(reply: ServerReply, fields: bytes) -> bytes:
    return render(reply.status, reply.whole_body(), fields=fields, content_type=reply.content_type)


def _pieces(reply: ServerReply, *, fields: bytes, delay_s: float) -> Iterator[tuple[float, bytes]]:
    if delay_s:
        yield delay_s, b""
    for _ in reply.work:
        yield SOON_S, b""
    if reply.chunks is None:
        yield 0.0, _whole(reply, fields)
        return
    yield 0.0, render_chunked_head(reply.status, fields=fields, content_type=reply.content_type)
    for each in reply.chunks:
        yield 0.0, chunk(each)
    yield 0.0, LAST_CHUNK
