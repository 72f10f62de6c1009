"""`asking`: single calls through the engine's slots, limits, retries and budget."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
import pytest

from profiler.core.errors import BudgetReached, CallError, ProviderFailed
from profiler.core.nouns import Limit, Params, RateHeaders, Reply
from profiler.engine.calls.asker import Asker, request_of
from profiler.engine.limits.rate_gate import RateGate
from profiler.manifest.settings import Retry
from profiler.money.budget import Budget
from profiler.money.price_list import look_up
from tests.profiler.jumping_clock import jumping

if TYPE_CHECKING:
    from profiler.core.nouns import Request

PARAMS = Params(model="claude-haiku-4-5", max_tokens=100)


class Fake:
    """Answers or fails by a list; what it was asked stays."""

    def __init__(self, *said: Reply | CallError) -> None:
        self.said = list(said)
        self.asked: list[Request] = []
        self.at_once = self.most_at_once = 0
        self.hold: anyio.Event | None = None

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.lowlevel.checkpoint()
            if self.hold is not None:
                await self.hold.wait()
            said = self.said.pop(0) if self.said else reply("done")
            if isinstance(said, CallError):
                raise said
            return said
        finally:
            self.at_once -= 1


def reply(text: str) -> Reply:
    usage = {"input_tokens": 10, "output_tokens": 5}
    return Reply(completion=text, stop_reason="end_turn", model=PARAMS.model, usage=usage)


def passing(kind: str = "server_error", *, after_s: float | None = 0.0) -> CallError:
    return CallError(kind, kind, status=500, retryable=True, retry_after_s=after_s)


def question(body: bytes = b"{}") -> Request:
    return request_of(body, name="episode", params=PARAMS)


def asker(client: Fake, *, gate: RateGate | None = None, budget: Budget | None = None, **options: float) -> Asker:
    return Asker(
        client=client,
        concurrency=int(options.get("concurrency", 4)),
        timeout_s=options.get("timeout_s", 60),
        retry=Retry(max_attempts=3, deadline_s=options.get("deadline_s", 60)),
        gate=gate,
        budget=budget,
    )


@pytest.fixture
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.engine.calls.attempt.FIRST_WAIT_S", 0.001)


async def test_a_reply_comes_back_with_what_it_took() -> None:
    client = Fake(reply("yes"))

    answer = await asker(client).ask(question(b'{"a":1}'))

    assert (answer.reply.completion, answer.attempts) == ("yes", 1)
    assert client.asked[0].body == b'{"a":1}'


@pytest.mark.usefixtures("swift")
async def test_a_failure_that_passes_is_tried_again() -> None:
    client = Fake(passing(), passing(), reply("at last"))

    answer = await asker(client).ask(question())

    assert (answer.reply.completion, answer.attempts) == ("at last", 3)
    assert [request.attempt for request in client.asked] == [1, 2, 3]


@pytest.mark.usefixtures("swift")
async def test_tries_run_out() -> None:
    client = Fake(*[passing() for _ in range(9)])

    with pytest.raises(CallError, match="server_error"):
        await asker(client).ask(question())

    assert len(client.asked) == 3


async def test_a_failure_that_stays_is_not_tried_again() -> None:
    client = Fake(CallError("invalid_request", "no", status=400))

    with pytest.raises(CallError, match="no"):
        await asker(client).ask(question())

    assert len(client.asked) == 1


async def test_a_fatal_failure_ends_everything() -> None:
    with pytest.raises(ProviderFailed, match="bad key"):
        await asker(Fake(CallError("authentication", "bad key", status=401, fatal=True))).ask(question())


@jumping
async def test_a_push_back_uses_up_no_try_and_holds_everyone() -> None:
    client = Fake(*[passing("rate_limited", after_s=3.0) for _ in range(5)], reply("through"))
    gate = RateGate()

    answer = await asker(client, gate=gate).ask(question())

    assert (answer.reply.completion, answer.attempts) == ("through", 6)
    assert sum(gate.waited_s.values()) >= 15


async def test_no_more_calls_run_at_once_than_there_are_slots() -> None:
    client = Fake()
    one = asker(client, concurrency=3)

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one.ask, question())

    assert client.most_at_once == 3
    assert one.slots.taken == 0


async def test_the_limits_a_reply_tells_of_hold_the_next_call() -> None:
    told = RateHeaders(requests=Limit(6000, 0))
    first = Reply(completion="a", stop_reason=None, model="m", usage={}, limits=told)
    gate = RateGate()
    one = asker(Fake(first, reply("b")), gate=gate)

    await one.ask(question())
    await one.ask(question())

    assert gate.waited_s["requests"] > 0


@pytest.mark.usefixtures("swift")
async def test_silence_ends_at_the_time_out() -> None:
    client = Fake()
    client.hold = anyio.Event()

    with pytest.raises(CallError, match="no reply before the deadline"):
        await asker(client, timeout_s=0.02).ask(question())

    assert len(client.asked) == 3


async def test_a_reply_is_paid_for_and_a_call_that_could_pass_the_cap_is_not_made() -> None:
    card = look_up(PARAMS.model, at=datetime(2026, 11, 1, tzinfo=UTC))
    assert card is not None
    budget = Budget(card)
    answer = await asker(Fake(), budget=budget).ask(question())
    assert answer.cost == budget.spent > 0

    client = Fake()
    with pytest.raises(BudgetReached, match="the cap"):
        await asker(client, budget=Budget(card, cap_usd=1e-9)).ask(question())
    assert client.asked == []


async def test_a_call_that_is_cut_off_gives_its_slot_back_and_counts_as_billed() -> None:
    card = look_up(PARAMS.model, at=datetime(2026, 11, 1, tzinfo=UTC))
    assert card is not None
    client, budget = Fake(), Budget(card)
    client.hold = anyio.Event()
    one = asker(client, budget=budget)

    with anyio.move_on_after(0.02):
        await one.ask(question())

    assert one.slots.taken == 0
    assert (budget.reserved, budget.maybe > 0) == (0, True)
