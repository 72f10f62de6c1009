"""How a message reaches the client: whole or streamed, at once or late, in one piece or broken by a fault.

The result is a list of waits and bytes, and how the connection ends; `wire.connection` carries it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.core.json import dumps
from profiler.provider.mock_server.admission.faults import (
    BROKEN_TRANSPORTS,
    OK,
    WRONG_REPLIES,
    Fault,
    broken_transport,
    wrong_reply,
)
from profiler.provider.mock_server.delivery.events import characters, event, events
from profiler.provider.mock_server.delivery.pace import Gaps
from profiler.provider.mock_server.wire.reply_bytes import LAST_CHUNK, chunk, render, render_stream_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from profiler.provider.mock_server.delivery.pace import Pace
    from profiler.provider.mock_server.settings import End

HUGE_TEXT = 10_000_000
STILL_ANSWERS = frozenset({OK, "trickle", "huge"})  # the asker gets its whole message all the same


def deliver(
    message: dict[str, Any], *, stream: bool, fields: bytes, fault: Fault, pace: Pace, trickle_s: float
) -> tuple[Iterable[tuple[float, bytes]], End, int]:
    """What is written and when, how it ends, and with which status (0: no reply that has one)."""
    name = fault.fault
    whole_s = pace.total_s + fault.delay_s
    if name in WRONG_REPLIES:
        return [(whole_s, wrong_reply(name, dumps(message), fields=fields))], "keep", 502 if name == "502" else 200
    if name == "huge":
        message = {**message, "content": [{"type": "text", "text": "huge " * (HUGE_TEXT // 5)}]}
    if not stream:
        pieces: Iterable[tuple[float, bytes]] = [(whole_s, render(200, dumps(message), fields=fields))]
    else:
        pieces = _streamed(message, fields=fields, pace=pace, delay_s=fault.delay_s, breaks=name == "stream-error")
    if name not in BROKEN_TRANSPORTS:
        return pieces, "keep", 200
    broken, end = broken_transport(name, b"".join(piece for _, piece in pieces), trickle_s=trickle_s)
    return [(whole_s, b""), *broken], end, 200 if end == "keep" else 0


def _streamed(
    message: dict[str, Any], *, fields: bytes, pace: Pace, delay_s: float, breaks: bool
) -> Iterable[tuple[float, bytes]]:
    head = render_stream_head(fields=fields)
    if pace.total_s + delay_s <= 0:
        return [(0.0, b"".join((head, *(chunk(data) for data, _ in _events(message, breaks=breaks)), LAST_CHUNK)))]
    return Stream(message, head=head, pace=pace, delay_s=delay_s, breaks=breaks)


def _events(message: dict[str, Any], *, breaks: bool) -> Iterable[tuple[bytes, int]]:
    if not breaks:
        return events(message)
    written = list(events(message))
    error = {"type": "overloaded_error", "message": "Overloaded"}
    return [*written[: len(written) // 2], (event("error", error=error), 0)]


class Stream:
    """The pieces of a stream, each made when it is due, so that a thousand streams can begin at once.

    All up to the first token comes in one piece, and so does what is due at the same time.
    """

    def __init__(self, message: dict[str, Any], *, head: bytes, pace: Pace, delay_s: float, breaks: bool) -> None:
        self._message = message
        self._head = head
        self._pace = pace
        self._delay_s = delay_s
        self._breaks = breaks

    def __iter__(self) -> Iterator[tuple[float, bytes]]:
        written = iter(_events(self._message, breaks=self._breaks))
        due = [self._head]
        first = 0  # characters of the first token
        for data, first in written:
            due.append(chunk(data))
            if first:
                break
        rest = characters(self._message) - first
        # an answer of one part comes when all of it was written
        wait_s = self._delay_s + (self._pace.first_s if rest else self._pace.total_s)
        gaps = Gaps(self._pace, rest)
        for data, count in written:
            gap_s = gaps.before(count)
            if gap_s > 0:
                yield wait_s, b"".join(due)
                wait_s, due = gap_s, []
            due.append(chunk(data))
        yield wait_s, b"".join((*due, LAST_CHUNK))
