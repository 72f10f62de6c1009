"""A pool on a bench: a client that answers as a test says, a writer that keeps what it gets, and a clock that stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from profiler.core.errors import CallError, Interrupted
from profiler.core.nouns import Record, Reply, Request
from profiler.engine.calls.attempt import AttemptMachine
from profiler.engine.calls.pool import Pool
from profiler.engine.calls.pool_status import PoolStatus
from profiler.engine.limits.provider_limits import ProviderLimits
from profiler.engine.slots import Slots
from profiler.manifest.settings import Retry
from profiler.money.budget import Budget
from profiler.provider.requests import Planner
from profiler.provider.validate import Checked
from tests.profiler.building import PARAMS, dialogue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from profiler.core.nouns import Dialogue
    from profiler.engine.limits.rate_gate import RateGate

STOP = Interrupted("stopped", signum=2)
PASSING = CallError("overloaded", "busy", status=529, request_id="req_1", retryable=True)


def reply(completion: str = "fine", **fields: Any) -> Reply:
    usual: dict[str, Any] = {"stop_reason": "end_turn", "model": "m", "usage": {"input_tokens": 1}}
    return Reply(completion=completion, **{**usual, **fields})


def asked_to_wait(seconds: float) -> CallError:
    return CallError("rate_limited", "slow down", retryable=True, retry_after_s=seconds)


def refused(kind: str = "rate_limited", *, retry_after_s: float | None = 0.05) -> CallError:
    return CallError(kind, "slow down", status=429, retryable=True, retry_after_s=retry_after_s)


class Answering:
    """A client that does what a function says, and counts."""

    def __init__(self, answer: Callable[[Request], Awaitable[Reply]]) -> None:
        self.answer = answer
        self.calls: list[Request] = []
        self.in_flight = 0
        self.most = 0

    async def complete(self, request: Request) -> Reply:
        self.calls.append(request)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            return await self.answer(request)
        finally:
            self.in_flight -= 1

    @property
    def asked(self) -> list[str]:
        return [request.dialogue.dialogue_id for request in self.calls]


class Kept:
    """Stands where the writer stands: keeps records in memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.full = False
        self.parked = 0
        self.on_put: Callable[[Record], object] = id

    def put(self, record: Record) -> None:
        self.records.append(record)
        self.on_put(record)

    async def make_room(self) -> None:
        self.parked += 1
        await anyio.lowlevel.checkpoint()

    @property
    def by_id(self) -> dict[str, Record]:
        assert len({record.index for record in self.records}) == len(self.records)
        return {record.dialogue_id: record for record in self.records}


class Bench:
    """A pool between a client and a place where records are kept."""

    def __init__(
        self,
        answer: Callable[[Request], Awaitable[Reply]],
        *,
        concurrency: int = 2,
        timeout_s: float = 60,
        max_attempts: int = 3,
        deadline_s: float = 600,
        timed: bool = False,
        gate: RateGate | None = None,
        budget: Budget | None = None,
        within: Slots | None = None,
    ) -> None:
        self.client = Answering(answer)
        self.kept = Kept()
        self.planner = Planner(PARAMS)
        self.slots = Slots(concurrency, within=within, lends=within is not None)
        retry = Retry(max_attempts=max_attempts, deadline_s=deadline_s)
        self.machine = AttemptMachine(
            retry=retry,
            timeout_s=timeout_s,
            planner=self.planner,
            limits=None if gate is None else ProviderLimits(gate, slots=self.slots, longest_pause_s=deadline_s),
            budget=budget,
            times="all" if timed else "none",
        )
        self.pool = Pool(
            client=Checked(self.client),
            writer=self.kept,  # type: ignore[arg-type]
            slots=self.slots,
            machine=self.machine,
        )

    @property
    def status(self) -> PoolStatus:
        return self.pool.status()

    async def run(self, dialogues: int | Sequence[Dialogue], *, patience_s: float = 20) -> list[Record]:
        items = [dialogue(index) for index in range(dialogues)] if isinstance(dialogues, int) else dialogues
        with anyio.fail_after(patience_s):
            await self.pool.run(self.planner.plan(items))
        return self.kept.records

    def assert_nothing_leaked(self) -> None:
        assert (self.slots.taken, self.slots.wanted) == (0, False)
        assert (self.status.backing_off, self.status.in_flight, self.client.in_flight) == (0, 0, 0)


async def at_once(_: Request) -> Reply:
    return reply()


async def never(_: Request) -> Reply:
    await anyio.sleep_forever()
    raise AssertionError


class Clock:
    """Stands where the module `time` stands in the pool and around it."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now
