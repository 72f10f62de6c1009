"""Permits of every kind, after very many failures of every kind."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import anyio
from anyio.lowlevel import checkpoint

from profiler.core.errors import CallError
from profiler.core.nouns import Reply, Request
from profiler.engine.calls.attempt import AttemptMachine
from profiler.engine.calls.pool import Pool
from profiler.engine.limits.provider_limits import ProviderLimits
from profiler.engine.limits.rate_gate import LIMITS, RateGate
from profiler.engine.slots import Slots
from profiler.manifest.settings import RateLimits, Retry
from profiler.money.budget import Budget
from profiler.money.price_list import look_up
from profiler.provider.requests import Planner
from profiler.provider.validate import Checked
from tests.profiler.building import PARAMS, dialogue
from tests.profiler.engine.calls.bench import Kept

FAILURES = 20_000
ANSWERED = 500
PUSHED_BACK = (18_001, 19_001)
WORKERS = 64
ENDS = (
    CallError("invalid_request", "no", status=400),
    CallError("connection", "reset", sent=True),
    CallError("connection", "refused", sent=False),
    CallError("bad_reply", "found nothing", status=200),
    CallError("server_error", "oops", status=500),
)


class Failing:
    """Answers until all workers are busy, then fails in each of the ways in turn; some fail late, some while others
    wait."""

    def __init__(self) -> None:
        self.ways = itertools.cycle(ENDS)
        self.calls = 0

    async def complete(self, request: Request) -> Reply:
        self.calls = number = self.calls + 1
        if number <= ANSWERED:
            await checkpoint()
            return Reply(completion="yes", stop_reason="end_turn", model="m", usage={"input_tokens": 1})
        if number % 10 == 0:  # often enough for a turn of the loop to be short, also on a busy machine
            await checkpoint()
        if number % 4_000 == 2_000:
            await anyio.sleep_forever()  # until the time-out
        if number in PUSHED_BACK:
            raise CallError("rate_limited", "slow", status=429, retryable=True, retry_after_s=0.0)
        raise next(self.ways)


async def test_twenty_thousand_failures_leak_no_permit_of_any_kind() -> None:
    card = look_up("claude-haiku-4-5", at=datetime.now(UTC))
    assert card is not None
    budget, gate, client, kept = (
        Budget(card, cap_usd=1e6),
        RateGate(RateLimits(requests_per_minute=10**9)),
        Failing(),
        Kept(),
    )
    planner = Planner(PARAMS)
    slots = Slots(WORKERS)
    machine = AttemptMachine(
        retry=Retry(max_attempts=1, deadline_s=300),
        timeout_s=2,
        planner=planner,
        limits=ProviderLimits(gate, slots=slots, longest_pause_s=300),
        budget=budget,
    )
    pool = Pool(client=Checked(client), writer=kept, slots=slots, machine=machine)  # type: ignore[arg-type]

    with anyio.fail_after(300):
        await pool.run(planner.plan(dialogue(index) for index in range(ANSWERED + FAILURES)))

    assert sum(record.type == "error" for record in kept.records) == FAILURES
    assert client.calls == ANSWERED + FAILURES + len(PUSHED_BACK)
    assert (slots.taken, slots.wanted, pool.status().in_flight, pool.status().backing_off) == (0, False, 0, 0)
    assert slots.limit == WORKERS
    assert len(gate.traffic) == 0
    assert {name: round(getattr(gate.traffic.in_flight, name), 3) for name in LIMITS} == dict.fromkeys(LIMITS, 0.0)
    assert not gate._line.locked()
    assert (budget.reserved, budget.waiting) == (0, 0)
