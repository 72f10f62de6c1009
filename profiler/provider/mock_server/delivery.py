"""How a message reaches its asker: whole or streamed, at once or late, in one piece or broken.

Comes in: the message, how it is wanted, and the fault it meets. Goes out: bytes with the waits before them, and the
way it ends. Knows nothing of connections and counts nothing.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import msgspec

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
    from collections.abc import Sequence

    from profiler.provider.mock_server.settings import End, ServerSettings

HUGE_TEXT = 10_000_000
STILL_ANSWERS = frozenset({OK, "trickle", "huge"})  # the asker gets its whole message all the same

Pieces = list[tuple[float, bytes]]


class Draws(msgspec.Struct, frozen=True):
    """Three numbers in (0, 1) that only depend on the seed and the name of the call."""

    fault: float
    latency: float
    stall: float


def draws(seed: int, call: str) -> Draws:
    digest = blake2b(f"{seed} {call}".encode("utf-8", "surrogatepass"), digest_size=18).digest()
    return Draws(*((int.from_bytes(digest[at : at + 6]) + 0.5) / 2**48 for at in (0, 6, 12)))


def latency(settings: ServerSettings, drawn: Draws) -> float:
    if drawn.stall < settings.stall_rate:
        return settings.stall_s
    if not settings.latency_sigma:
        return settings.latency_s
    return settings.latency_s * math.exp(settings.latency_sigma * NormalDist().inv_cdf(drawn.latency))


def deliver(
    message: dict[str, Any], *, stream: bool, fields: bytes, fault: Fault, latency_s: float, trickle_s: float
) -> tuple[Pieces, End, int]:
    """What is written and when, how it ends, and with which status (0: no reply that has one)."""
    name = fault.fault
    latency_s += fault.delay_s
    if name in WRONG_REPLIES:
        return [(latency_s, wrong_reply(name, dumps(message), fields=fields))], "keep", 502 if name == "502" else 200
    if name == "huge":
        message = {**message, "content": [{"type": "text", "text": "huge " * (HUGE_TEXT // 5)}]}
    if not stream:
        pieces = [(latency_s, render(200, dumps(message), fields=fields))]
    else:
        pieces = _streamed(message, fields=fields, latency_s=latency_s, breaks=name == "stream-error")
    if name not in BROKEN_TRANSPORTS:
        return pieces, "keep", 200
    broken, end = broken_transport(name, b"".join(piece for _, piece in pieces), trickle_s=trickle_s)
    return [(latency_s, b""), *broken], end, 200 if end == "keep" else 0


def _streamed(message: dict[str, Any], *, fields: bytes, latency_s: float, breaks: bool) -> Pieces:
    """Half of the latency until the first event, the rest spread evenly over the others."""
    written: Sequence[bytes] = list(events(message))
    if breaks:
        error = {"type": "overloaded_error", "message": "Overloaded"}
        written = [*written[: len(written) // 2], event("error", error=error)]
    first, *others = written
    head = render_stream_head(fields=fields) + chunk(first)
    if not latency_s:
        return [(0.0, b"".join((head, *map(chunk, others), LAST_CHUNK)))]
    wait_s = latency_s / 2 / max(1, len(others))
    return [(latency_s / 2, head), *((wait_s, chunk(each)) for each in others), (0.0, LAST_CHUNK)]
