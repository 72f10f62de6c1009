"""How a message reaches its asker: whole or streamed, at once or late, in one piece or broken.

Comes in: the message, how it is wanted, and the fault it meets. Goes out: bytes with the waits before them, and the
way it ends. Knows nothing of connections and counts nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.core.json import dumps
from profiler.provider.mock_server.answering.events import event, events
from profiler.provider.mock_server.faults import (
    BROKEN_TRANSPORTS,
    OK,
    WRONG_REPLIES,
    Fault,
    broken_transport,
    wrong_reply,
)
from profiler.provider.mock_server.http import LAST_CHUNK, chunk, render, render_stream_head

if TYPE_CHECKING:
    from profiler.provider.mock_server.pace import Pace
    from profiler.provider.mock_server.settings import End

HUGE_TEXT = 10_000_000
STILL_ANSWERS = frozenset({OK, "trickle", "huge"})  # the asker gets its whole message all the same

Pieces = list[tuple[float, bytes]]


def deliver(
    message: dict[str, Any], *, stream: bool, fields: bytes, fault: Fault, pace: Pace, trickle_s: float
) -> tuple[Pieces, End, int]:
    """What is written and when, how it ends, and with which status (0: no reply that has one)."""
    name = fault.fault
    whole_s = pace.total_s + fault.delay_s
    if name in WRONG_REPLIES:
        return [(whole_s, wrong_reply(name, dumps(message), fields=fields))], "keep", 502 if name == "502" else 200
    if name == "huge":
        message = {**message, "content": [{"type": "text", "text": "huge " * (HUGE_TEXT // 5)}]}
    if not stream:
        pieces = [(whole_s, render(200, dumps(message), fields=fields))]
    else:
        pieces = _streamed(message, fields=fields, pace=pace, delay_s=fault.delay_s, breaks=name == "stream-error")
    if name not in BROKEN_TRANSPORTS:
        return pieces, "keep", 200
    broken, end = broken_transport(name, b"".join(piece for _, piece in pieces), trickle_s=trickle_s)
    return [(whole_s, b""), *broken], end, 200 if end == "keep" else 0


def _streamed(message: dict[str, Any], *, fields: bytes, pace: Pace, delay_s: float, breaks: bool) -> Pieces:
    """All up to the first token at once, then each part in its time; what is due at the same time is one write."""
    written = list(events(message))
    if breaks:
        error = {"type": "overloaded_error", "message": "Overloaded"}
        written = [*written[: len(written) // 2], (event("error", error=error), 0)]
    head = render_stream_head(fields=fields)
    if pace.total_s + delay_s <= 0:
        return [(0.0, b"".join((head, *(chunk(data) for data, _ in written), LAST_CHUNK)))]
    begun = next((at for at, (_, tokens) in enumerate(written) if tokens), 0)
    gaps = pace.gaps([weight for _, weight in written[begun + 1 :]])
    pieces = [(pace.first_s + delay_s, head + b"".join(chunk(data) for data, _ in written[: begun + 1]))]
    due: list[bytes] = []
    for gap_s, (data, _) in zip(gaps, written[begun + 1 :], strict=True):
        if gap_s > 0 and due:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + b"".join(due))
            due.clear()
        if gap_s > 0:
            pieces.append((gap_s, chunk(data)))
        else:
            due.append(chunk(data))
    pieces[-1] = (pieces[-1][0], b"".join((pieces[-1][1], *due, LAST_CHUNK)))
    left_s = pace.rest_s + pace.pause_s if not any(gaps) else 0.0  # an answer of one part still takes its time
    return pieces if not left_s else [(pieces[0][0] + left_s, pieces[0][1])]
