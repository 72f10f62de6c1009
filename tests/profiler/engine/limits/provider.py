"""A provider with rate limits for tests, on a clock that jumps from one event to the next.

It shares no code with the mock server or the engine: it keeps its own levels and the history of every call, so a test
asserts what the provider saw. It speaks real HTTP over loopback, and simulates a minute in about a second.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import math
import random
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anyio
import msgspec

from profiler.engine.calls.attempt import AttemptMachine
from profiler.engine.calls.pool import Pool
from profiler.engine.limits.provider_limits import ProviderLimits
from profiler.engine.limits.rate_gate import RateGate
from profiler.engine.slots import Slots
from profiler.manifest.settings import Experiment, Retry
from profiler.provider.open import open_client
from profiler.provider.requests import Planner
from profiler.provider.validate import Checked
from tests.profiler.building import PARAMS, dialogue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from profiler.core.nouns import Dialogue, Record
    from profiler.manifest.settings import RateLimits
    from profiler.provider.client import Client


class Call(NamedTuple):
    at: float
    status: int


class Level:
    """How much of one limit is free: it refills all the time, up to a minute's worth or less."""

    def __init__(self, per_minute: float, *, burst_s: float, now: float) -> None:
        self.per_minute = per_minute
        self.most = per_minute * burst_s / 60
        self.free = self.most
        self._at = now

    def refill(self, now: float) -> None:
        self.free = min(self.most, self.free + (now - self._at) * self.per_minute / 60)
        self._at = now


class LimitedProvider:
    """Answers after `latency_s`, give or take that share of it which `spread` says, or refuses at once.

    - `holds_max_tokens`: a call takes its whole `max_tokens` from the limit, and gives back at its end what the answer
    did not use. Otherwise it takes what the answer used, at its end.
    - `fault`: a function from the number of a call to the status with which it fails, or None.
    - `tells_minutes`: the headers say what is left of a whole minute, whatever `burst_s` allows at once.
    - `retry_after`: what a refusal asks for; "exact" is the number of seconds until there is room.
    """

    def __init__(
        self,
        *,
        latency_s: float = 1.0,
        spread: float = 0.0,
        answer_tokens: int = 20,
        requests_per_minute: float | None = None,
        output_tokens_per_minute: float | None = None,
        holds_max_tokens: bool = False,
        burst_s: float = 60.0,
        tells: bool = True,
        tells_minutes: bool = False,
        retry_after: str | None = "exact",
        fault: Callable[[int], int | None] = lambda _: None,
    ) -> None:
        now = time.monotonic()
        self.history: list[Call] = []
        self.in_flight: list[int] = []
        self._busy = 0
        self._latency_s = latency_s
        self._spread = spread
        self._drawn = random.Random(1)
        self._tokens = answer_tokens
        self._holds = holds_max_tokens
        self._tells = tells
        self._tells_minutes = tells_minutes
        self._retry_after = retry_after
        self._fault = fault
        self._levels = {
            name: Level(per_minute, burst_s=burst_s, now=now)
            for name, per_minute in (("requests", requests_per_minute), ("output-tokens", output_tokens_per_minute))
            if per_minute is not None
        }

    def begin(self, body: bytes) -> tuple[float, Callable[[], bytes]]:
        """Return after how many seconds the reply is due, and a function that makes it then."""
        now = time.monotonic()
        status = self._fault(len(self.history)) or 0
        takes = {"requests": 1.0, "output-tokens": float(json.loads(body)["max_tokens"] if self._holds else 0)}
        wait_s = 0.0
        for name, level in self._levels.items():
            level.refill(now)
            needs = takes[name] if self._holds or name == "requests" else self._tokens
            wait_s = max(wait_s, (needs - level.free) * 60 / level.per_minute)
        if not status and wait_s > 1e-9:
            status = 429
        self.history.append(Call(now, status or 200))
        if status:
            return 0.0, lambda: self._refusal(status, wait_s)
        for name, level in self._levels.items():
            level.free -= takes[name]
        self._busy += 1
        self.in_flight.append(self._busy)
        latency_s = self._latency_s * self._drawn.uniform(1 - self._spread, 1 + self._spread)
        return latency_s, lambda: self._answer(takes["output-tokens"])

    def changes_to(self, requests_per_minute: float) -> None:
        self._refill()
        level = self._levels["requests"]
        level.most *= requests_per_minute / level.per_minute
        level.per_minute = requests_per_minute

    def _answer(self, held: float) -> bytes:
        self._busy -= 1
        self._refill()
        if (level := self._levels.get("output-tokens")) is not None:
            level.free += held - self._tokens
        usage = {"input_tokens": 10, "output_tokens": self._tokens}
        content = [{"type": "text", "text": "fine"}]
        message = {"type": "message", "model": "m", "content": content, "stop_reason": "end_turn", "usage": usage}
        return self._written("200 OK", message, [])

    def _refusal(self, status: int, wait_s: float) -> bytes:
        self._refill()
        asked = f"{max(wait_s, 0.05):.3f}" if self._retry_after == "exact" else self._retry_after
        lines = [f"retry-after: {asked}"] if asked is not None and status == 429 else []
        kind = {429: "rate_limit_error", 529: "overloaded_error", 400: "invalid_request_error"}.get(status, "api_error")
        error = {"type": "error", "error": {"type": kind, "message": f"no, {status}"}}
        return self._written(f"{status} No", error, lines)

    def _refill(self) -> None:
        for level in self._levels.values():
            level.refill(time.monotonic())

    def _written(self, status: str, said: object, lines: list[str]) -> bytes:
        body = json.dumps(said).encode()
        if self._tells:
            for name, level in self._levels.items():
                lines.append(f"anthropic-ratelimit-{name}-limit: {level.per_minute:.0f}")
                left = level.free + (level.per_minute - level.most if self._tells_minutes else 0)
                lines.append(f"anthropic-ratelimit-{name}-remaining: {max(0, math.floor(left))}")
        head = "\r\n".join([f"HTTP/1.1 {status}", "content-type: application/json", *lines])
        return f"{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body

    @property
    def answered(self) -> int:
        return sum(call.status == 200 for call in self.history)

    def share(self, status: int = 429) -> float:
        return sum(call.status == status for call in self.history) / len(self.history)


class Served(asyncio.Protocol):
    """One connection to the provider, one request at a time."""

    def __init__(self, provider: LimitedProvider) -> None:
        self._provider = provider
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None)
        if length is None or len(body) < int(length.partition(b":")[2]):
            return
        self._received = b""
        after_s, reply = self._provider.begin(body)
        asyncio.get_running_loop().call_later(after_s, self._reply, reply)

    def _reply(self, reply: Callable[[], bytes]) -> None:
        assert self._transport is not None
        self._transport.write(reply())


@asynccontextmanager
async def asking(provider: LimitedProvider) -> AsyncIterator[Client]:
    """Open a client of the fast lane that asks this provider."""
    server = await asyncio.get_running_loop().create_server(lambda: Served(provider), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    experiment = Experiment(experiment_id="e", model="m", max_tokens=1, dataset_path=Path("d"), base_url=url)
    try:
        async with open_client(experiment, mode="live", environ={"ANTHROPIC_API_KEY": "k"}) as client:
            yield client
    finally:
        server.close()


class Records:
    """Takes the place of the writer and keeps all records."""

    full = False

    def __init__(self) -> None:
        self.all: list[Record] = []

    def put(self, record: Record) -> None:
        self.all.append(record)


def pool_of(
    client: Client,
    records: Records,
    *,
    concurrency: int = 64,
    limits: RateLimits | None = None,
    deadline_s: float = 600,
    max_tokens: int = 1024,
) -> Pool:
    slots = Slots(concurrency)
    machine = AttemptMachine(
        retry=Retry(deadline_s=deadline_s),
        timeout_s=600,
        planner=planner(max_tokens),
        limits=ProviderLimits(RateGate(limits), slots=slots, longest_pause_s=deadline_s),
    )
    return Pool(client=Checked(client), writer=records, slots=slots, machine=machine)  # type: ignore[arg-type]


def planner(max_tokens: int) -> Planner:
    return Planner(msgspec.structs.replace(PARAMS, max_tokens=max_tokens))


def endless() -> Iterator[Dialogue]:
    index = 0
    while True:
        yield dialogue(index)
        index += 1


async def ask_for(pool: Pool, seconds: float, *, max_tokens: int = 1024) -> None:
    """Send as many dialogues as get through in that time."""
    with anyio.move_on_after(seconds):
        await pool.run(planner(max_tokens).plan(endless()))


def reachable(*, seconds: float, per_minute: float, hold: float, used: float, latency_s: float, slots: int) -> int:
    """Count the answers that a sender gets who always knows what is left of the limit and sends as soon as there is
    room."""
    now, free, answers = 0.0, per_minute, 0
    ends: list[float] = []
    while now < seconds:
        while free >= hold and len(ends) < slots:
            free -= hold
            heapq.heappush(ends, now + latency_s)
        room_s = (hold - free) * 60 / per_minute if len(ends) < slots else math.inf
        following = min(now + max(room_s, 1e-6), ends[0] if ends else math.inf)
        free = min(per_minute, free + (following - now) * per_minute / 60)
        now = following
        while ends and ends[0] <= now:
            heapq.heappop(ends)
            free += hold - used
            answers += now <= seconds
    return answers


def by_chance(share: float, *statuses: int, seed: int = 1) -> Callable[[int], int | None]:
    """Let that share of all calls fail."""
    drawn = random.Random(seed)
    return lambda _: drawn.choice(statuses) if drawn.random() < share else None
