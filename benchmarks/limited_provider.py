"""A provider that enforces one limit in ways that the mock server does not, in a thread of its own.

Either it counts the whole `max_tokens` of a call against a limit on output tokens until the call ends, and its headers
say what is left; or it limits requests and its headers say nothing. It counts what it answered and refused.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from anyio.from_thread import start_blocking_portal

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER_TOKENS = 20
MESSAGE = msgspec.json.encode(
    {
        "type": "message",
        "model": "limited",
        "content": [{"type": "text", "text": "yes"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 24, "output_tokens": ANSWER_TOKENS},
    }
)
REFUSAL = msgspec.json.encode({"type": "error", "error": {"type": "rate_limit_error", "message": "too much"}})


class LimitedProvider:
    """The limit is `per_minute` output tokens with `holds`, otherwise requests; `burst_s` seconds' worth may come at
    once."""

    def __init__(self, *, per_minute: float, burst_s: float, latency_s: float, holds: bool) -> None:
        self.latency_s = latency_s
        self.answered = self.refused = 0
        self.began: float | None = None
        self.ended = 0.0
        self.base_url = ""
        self._per_second = per_minute / 60
        self._most = self._free = self._per_second * burst_s
        self._holds = holds
        self._at = 0.0

    @property
    def span_s(self) -> float:
        """Seconds from the first call to the end of the last."""
        return self.ended - (self.began or 0.0)

    @property
    def allowed(self) -> float:
        """How much the limit allowed in that time."""
        return self._most + self._per_second * self.span_s

    def takes(self, body: bytes) -> float | None:
        """What a call takes from the limit; None refuses it."""
        self._refill()
        if self.began is None:
            self.began = self._at
        amount = float(msgspec.json.decode(body)["max_tokens"]) if self._holds else 1.0
        if self._free < amount:
            self.refused += 1
            return None
        self._free -= amount
        return amount

    def ends(self, taken: float) -> bytes:
        self._refill()
        if self._holds:
            self._free = min(self._most, self._free + taken - ANSWER_TOKENS)
        self.answered += 1
        self.ended = self._at
        return self._written("200 OK", MESSAGE)

    def refusal(self) -> bytes:
        return self._written("429 Too Many Requests", REFUSAL)

    def _refill(self) -> None:
        now = time.monotonic()
        self._free = min(self._most, self._free + (now - self._at) * self._per_second)
        self._at = now

    def _written(self, status: str, body: bytes) -> bytes:
        told = ""
        if self._holds:
            prefix = "anthropic-ratelimit-output-tokens"
            told = f"{prefix}-limit: {self._per_second * 60:.0f}\r\n{prefix}-remaining: {int(max(0, self._free))}\r\n"
        return f"HTTP/1.1 {status}\r\n{told}content-length: {len(body)}\r\n\r\n".encode() + body


class Served(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, provider: LimitedProvider) -> None:
        self._provider = provider
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if not length or len(body) < int(length):
            return
        self._received = b""
        taken = self._provider.takes(body)
        if taken is None:
            self._transport.write(self._provider.refusal())
        else:
            asyncio.get_running_loop().call_later(self._provider.latency_s, self._end, taken)

    def _end(self, taken: float) -> None:
        self._transport.write(self._provider.ends(taken))


@contextmanager
def limited(provider: LimitedProvider) -> Iterator[LimitedProvider]:
    """Run the provider on a port of this machine."""

    async def listen() -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(lambda: Served(provider), "127.0.0.1", 0)

    with start_blocking_portal() as portal:
        server = portal.call(listen)
        provider.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield provider
        finally:
            portal.call(server.close)


def shortest_s(count: int, *, per_minute: float, hold: float, latency_s: float, slots: int) -> float:
    """How long so many answers take somebody who always knows what is free, and sends as soon as there is room."""
    now, free, begun = 0.0, per_minute, 0
    ends: list[float] = []
    while begun < count:
        if free >= hold and len(ends) < slots:
            free, begun = free - hold, begun + 1
            heapq.heappush(ends, now + latency_s)
            continue
        # Jump to the next event: there is room for a call, or a call ends.
        room_s = (hold - free) * 60 / per_minute if len(ends) < slots else latency_s
        following = min(now + max(room_s, 1e-6), ends[0] if ends else now + latency_s)
        free = min(per_minute, free + (following - now) * per_minute / 60)
        now = following
        while ends and ends[0] <= now:
            heapq.heappop(ends)
            free += hold - ANSWER_TOKENS
    return max(ends)
