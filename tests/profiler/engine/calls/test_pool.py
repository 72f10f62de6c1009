from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from msgspec import UNSET

from profiler.core.errors import CallError, DatasetError, Interrupted, Problem, ProfilerError, ProviderFailed
from profiler.core.nouns import Record, Reply, Request
from profiler.engine.calls import attempt, deadlines, records, unbegun
from profiler.engine.calls import pool as pool_module
from profiler.engine.calls.attempt import AttemptMachine
from profiler.engine.calls.pool import Pool, PoolStatus
from profiler.engine.limits.provider_limits import ProviderLimits
from profiler.engine.slots import Slots
from profiler.manifest.settings import Retry
from profiler.money.budget import Budget
from profiler.provider.requests import Planner
from tests.profiler.building import PARAMS, dialogue
from tests.profiler.engine.calls.test_call_cost import HAIKU

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from profiler.core.nouns import Dialogue
    from profiler.engine.limits.rate_gate import RateGate

STOP = Interrupted("stopped", signum=2)
PASSING = CallError("overloaded", "busy", status=529, request_id="req_1", retryable=True)


def reply(completion: str = "fine", **fields: Any) -> Reply:
    usual: dict[str, Any] = {"stop_reason": "end_turn", "model": "m", "usage": {"input_tokens": 1}}
    return Reply(completion=completion, **{**usual, **fields})


def asked_to_wait(seconds: float) -> CallError:
    return CallError("rate_limited", "slow down", retryable=True, retry_after_s=seconds)


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
            client=self.client,
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


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come due at once, but still go the way of those that wait."""
    monkeypatch.setattr(attempt, "FIRST_WAIT_S", 1e-9)


class Clock:
    """Stands where the module `time` stands in the pool and around it."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (attempt, unbegun, deadlines, pool_module, records):
        monkeypatch.setattr(module, "time", clock)
    return clock


# --- what is asked, and when --------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3, 50])
async def test_every_dialogue_is_asked_once_and_in_order(concurrency: int) -> None:
    bench = Bench(at_once, concurrency=concurrency)
    records = await bench.run(20)
    assert bench.client.asked == [f"d{index}" for index in range(20)]
    assert sorted(record.index for record in records) == list(range(20))
    assert {record.type for record in records} == {"answer"}
    bench.assert_nothing_leaked()


async def test_as_many_are_in_flight_as_there_are_slots_and_no_more(no_waits: None) -> None:
    chance = random.Random(0)

    async def answer(_: Request) -> Reply:
        for _turn in range(chance.randrange(5)):
            await anyio.lowlevel.checkpoint()
        if chance.random() < 0.3:
            raise PASSING
        return reply()

    bench = Bench(answer, concurrency=7, max_attempts=100)
    await bench.run(500)
    assert bench.client.most == 7
    assert len(bench.kept.by_id) == 500
    bench.assert_nothing_leaked()


async def test_requests_are_taken_only_when_a_slot_is_free() -> None:
    taken = 0

    def dialogues() -> Any:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield dialogue(number)

    bench = Bench(never, concurrency=3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pool.run, bench.planner.plan(dialogues()))
        await anyio.wait_all_tasks_blocked()
        assert (taken, bench.status.in_flight) == (3, 3)
        tasks.cancel_scope.cancel()


async def test_hardly_more_workers_are_hired_than_there_is_work_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hired = 0

    class Counted(deadlines.Worker):
        __slots__ = ()

        def __init__(self) -> None:
            nonlocal hired
            hired += 1
            super().__init__()

    async def answer(_: Request) -> Reply:
        await anyio.wait_all_tasks_blocked()
        return reply()

    monkeypatch.setattr(pool_module, "Worker", Counted)
    bench = Bench(answer, concurrency=100_000)
    await bench.run(6)
    assert bench.client.most == 6
    assert hired <= 2 + 2 * 6
    bench.assert_nothing_leaked()


async def test_a_full_writer_is_waited_for() -> None:
    bench = Bench(at_once)
    bench.kept.full = True
    await bench.run(5)
    assert bench.kept.parked == 5


# --- records ------------------------------------------------------------------------------------------------------


async def test_a_record_says_what_came_back() -> None:
    async def answer(_: Request) -> Reply:
        return reply("I can't help with that.", request_id="req_9", usage={"input_tokens": 5, "output_tokens": 6})

    (record,) = await Bench(answer).run(1)
    assert (record.completion, record.type, record.stop_reason) == ("I can't help with that.", "refusal", "end_turn")
    assert (record.model, record.request_id, record.attempts) == ("m", "req_9", 1)
    assert record.usage == {"input_tokens": 5, "output_tokens": 6}
    assert (record.error, record.cost_usd) == (None, None)


@pytest.mark.parametrize(
    ("first", "type_"),
    [
        (reply("I can't help with that.", stop_reason="refusal"), "refusal"),
        (reply("", stop_reason="refusal"), "refusal"),
        (reply("", stop_reason="end_turn"), "answer"),
        (reply(" \n", stop_reason="end_turn"), "answer"),
        (reply("Let me look.", stop_reason="tool_use"), "answer"),
        (reply("Let me look.", stop_reason="end_turn", content=[{"type": "tool_use"}]), "answer"),
        (reply("Long", stop_reason="model_context_window_exceeded"), "truncated"),
    ],
)
async def test_a_reply_that_nothing_can_follow_ends_the_dialogue_as_what_it_is(first: Reply, type_: str) -> None:
    async def answer(_: Request) -> Reply:
        return first

    bench = Bench(answer)
    (record,) = await bench.run([dialogue(turns=("one", "two", "three"))])
    assert (record.type, record.completion, record.replies) == (type_, first.completion, (first.completion,))
    assert len(bench.client.calls) == 1


async def test_a_cut_off_reply_is_followed_by_the_next_turn() -> None:
    async def answer(_: Request) -> Reply:
        return reply("so far", stop_reason="max_tokens")

    (record,) = await Bench(answer).run([dialogue(turns=("one", "two"))])
    assert record.replies == ("so far", "so far")


async def test_one_turn_of_unknown_usage_makes_the_sum_unknown() -> None:
    async def answer(request: Request) -> Reply:
        return reply(usage={} if request.turn == 1 else {"input_tokens": 5, "output_tokens": 6})

    (record,) = await Bench(answer).run([dialogue(turns=("one", "two", "three"))])
    assert record.usage is None


async def test_a_usage_that_nobody_knows_is_null_in_the_record() -> None:
    async def answer(_: Request) -> Reply:
        return reply(usage={})

    (record,) = await Bench(answer).run(1)
    assert record.usage is None


async def test_client_time_and_queue_time_are_told_apart(clock: Clock) -> None:
    async def answer(request: Request) -> Reply:
        clock.now += 2.0
        if request.index == 0 and request.attempt == 1:
            raise asked_to_wait(0.02)
        return reply()

    bench = Bench(answer, timed=True, concurrency=1)
    await bench.run(3)  # while the first waits for its retry, the others take two seconds each
    times = {name: (record.latency_s, record.queue_s) for name, record in bench.kept.by_id.items()}
    assert times == {"d0": (4.0, 4.0), "d1": (2.0, 0.0), "d2": (2.0, 0.0)}


async def test_the_time_between_two_tries_is_told_apart_from_that_in_line(clock: Clock) -> None:
    async def answer(request: Request) -> Reply:
        clock.now += 2.0
        if request.index == 0 and request.attempt == 1:
            raise asked_to_wait(0.02)
        return reply()

    bench = Bench(answer, timed=True, concurrency=1)
    await bench.run(2)  # the second is asked while the first waits for its retry, which the fake clock does not see
    first, second = bench.kept.by_id["d0"], bench.kept.by_id["d1"]
    assert (first.latency_s, first.queue_s, first.between_s, first.at_s) == (4.0, 2.0, 2.0, 6.0)
    assert (second.between_s, second.held_s, second.at_s) == (UNSET, UNSET, 4.0)


async def test_simulated_time_counts_instead_of_the_clock(clock: Clock) -> None:
    async def answer(_: Request) -> Reply:
        clock.now += 2.0
        return reply(latency_s=1.5)

    for timed, waited in ((False, 0.0), (True, 0.5)):
        (record,) = await Bench(answer, timed=timed).run(1)
        assert (record.latency_s, record.queue_s) == (1.5, waited)


async def test_without_a_clock_nothing_depends_on_how_long_it_took(no_waits: None, clock: Clock) -> None:
    async def answer(request: Request) -> Reply:
        clock.now += 2.0
        if request.attempt == 1:
            raise PASSING
        return reply()

    (record,) = await Bench(answer).run(1)
    assert (record.latency_s, record.queue_s, record.attempts) == (0.0, 0.0, 2)


async def test_turns_are_asked_one_after_the_other_and_counted_together() -> None:
    async def answer(request: Request) -> Reply:
        count = request.turn + 1
        return reply(f"reply {count}", usage={"input_tokens": 10 * count, "note": "text", "thinking_tokens": count})

    bench = Bench(answer)
    (record,) = await bench.run([dialogue(turns=("a", "b", "c"))])
    assert [len(request.messages) for request in bench.client.calls] == [1, 3, 5]
    assert bench.client.calls[2].messages[3] == {"role": "assistant", "content": "reply 2"}
    assert (record.completion, record.replies) == ("reply 3", ("reply 1", "reply 2", "reply 3"))
    assert record.usage == {"input_tokens": 60, "thinking_tokens": 6}
    assert record.attempts == 1


async def test_a_dialogue_that_fails_half_way_keeps_what_it_got() -> None:
    async def answer(request: Request) -> Reply:
        if request.turn == 1:
            raise CallError("invalid_request", "too long", status=400, request_id="req_2")
        return reply("first")

    (record,) = await Bench(answer).run([dialogue(turns=("a", "b"))])
    assert (record.type, record.completion, record.replies) == ("error", None, ("first",))
    assert record.usage == {"input_tokens": 1}
    assert record.error is not None
    assert (record.error.type, record.error.status, record.error.request_id) == ("invalid_request", 400, "req_2")
    assert (record.request_id, record.attempts) == ("req_2", 1)


@pytest.mark.parametrize(
    ("ending", "type_"),
    [
        ({"stop_reason": "refusal"}, "refusal"),
        ({"stop_reason": "refusal", "completion": ""}, "refusal"),
        ({"completion": " \n"}, "answer"),
        ({"stop_reason": "tool_use"}, "answer"),
        ({"content": [{"type": "tool_use", "id": "t", "name": "n", "input": {}}]}, "answer"),
    ],
)
async def test_a_reply_that_no_turn_can_follow_ends_the_dialogue_as_what_it_is(
    ending: dict[str, Any], type_: str
) -> None:
    async def answer(request: Request) -> Reply:
        if request.turn == 0:
            return reply("first")
        return Reply(**{"completion": "no more", "stop_reason": "end_turn", "model": "m", "usage": {}, **ending})

    bench = Bench(answer)
    (record,) = await bench.run([dialogue(turns=("a", "b", "c", "d"))])
    assert len(bench.client.calls) == 2
    said = ending.get("completion", "no more")
    assert (record.type, record.completion, record.replies) == (type_, said, ("first", said))
    assert (record.stop_reason, record.attempts) == (ending.get("stop_reason", "end_turn"), 1)


async def test_a_truncated_reply_and_a_refusal_in_words_are_followed_by_the_next_turn() -> None:
    async def answer(request: Request) -> Reply:
        text, stop_reason = [("I can't help with that.", "end_turn"), ("and so", "max_tokens"), ("fine", "end_turn")][
            request.turn
        ]
        return Reply(completion=text, stop_reason=stop_reason, model="m", usage={})

    (record,) = await Bench(answer).run([dialogue(turns=("a", "b", "c"))])
    assert (record.type, record.replies) == ("answer", ("I can't help with that.", "and so", "fine"))


# --- failures -----------------------------------------------------------------------------------------------------


async def test_a_failure_that_lasts_is_a_record_after_one_call() -> None:
    async def answer(request: Request) -> Reply:
        if request.index == 0:
            raise CallError("invalid_request", "no", status=400)
        return reply()

    bench = Bench(answer)
    await bench.run(2)
    assert bench.kept.by_id["d0"].type == "error"
    assert bench.kept.by_id["d1"].type == "answer"
    assert bench.client.asked == ["d0", "d1"]
    assert (bench.status.failures, bench.status.retried) == ({"invalid_request": 1}, 0)


async def test_a_failure_that_passes_is_tried_again_with_the_same_request(no_waits: None) -> None:
    async def answer(request: Request) -> Reply:
        if request.attempt < 3:
            raise PASSING
        return reply()

    bench = Bench(answer)
    (record,) = await bench.run(1)
    assert (record.type, record.attempts) == ("answer", 3)
    assert [request.attempt for request in bench.client.calls] == [1, 2, 3]
    first, *others = bench.client.calls
    assert [(other.body, other.line, other.index) for other in others] == [(first.body, first.line, 0)] * 2
    assert (bench.status.failures, bench.status.retried) == ({}, 2)


async def test_tries_run_out(no_waits: None) -> None:
    async def answer(_: Request) -> Reply:
        raise PASSING

    bench = Bench(answer, max_attempts=4)
    (record,) = await bench.run(1)
    assert record.error is not None
    assert (record.error.type, record.error.message, record.error.status) == ("overloaded", "busy", 529)
    assert record.attempts == len(bench.client.calls) == 4
    assert bench.status.failures == {"overloaded": 1}


async def test_tries_are_those_of_one_request_and_not_of_the_dialogue(no_waits: None) -> None:
    async def answer(request: Request) -> Reply:
        if request.attempt == 1:
            raise PASSING
        return reply()

    turns = tuple(f"turn {number}" for number in range(6))
    (record,) = await Bench(answer, max_attempts=2).run([dialogue(turns=turns)])
    assert (record.type, record.attempts) == ("answer", 7)


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    async def answer(_: Request) -> Reply:
        raise asked_to_wait(700)

    bench = Bench(answer, deadline_s=600)
    (record,) = await bench.run(1)
    assert record.error is not None
    assert (record.error.type, record.attempts) == ("rate_limited", 1)


async def test_the_slot_is_free_while_a_dialogue_backs_off() -> None:
    async def answer(request: Request) -> Reply:
        if request.index == 0 and request.attempt == 1:
            raise asked_to_wait(0.05)
        return reply()

    bench = Bench(answer, concurrency=1)
    records = await bench.run(5)
    assert bench.client.asked == ["d0", "d1", "d2", "d3", "d4", "d0"]
    assert [record.dialogue_id for record in records][-1] == "d0"
    assert bench.client.most == 1
    bench.assert_nothing_leaked()


async def test_a_dialogue_that_comes_back_goes_before_those_not_begun(no_waits: None) -> None:
    async def answer(request: Request) -> Reply:
        if request.index == 0 and request.attempt == 1:
            raise PASSING
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        return reply()

    bench = Bench(answer, concurrency=1)
    await bench.run(300)
    assert bench.client.asked.index("d0", 1) < 150
    assert bench.client.most == 1


async def test_a_provider_that_only_refuses_is_not_sent_everything() -> None:
    async def answer(_: Request) -> Reply:
        raise asked_to_wait(500)

    bench = Bench(answer, concurrency=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pool.run, bench.planner.plan(dialogue(index) for index in range(1000)))
        await anyio.wait_all_tasks_blocked()
        assert len(bench.client.calls) == bench.status.backing_off == pool_module.BACKING_OFF_PER_SLOT + 1
        tasks.cancel_scope.cancel()


async def test_ten_thousand_failures_leak_no_slot(no_waits: None) -> None:
    chance = random.Random(1)

    async def answer(request: Request) -> Reply:
        if chance.random() < 0.5:
            await anyio.lowlevel.checkpoint()
        if request.attempt < 6:
            raise PASSING
        return reply()

    bench = Bench(answer, concurrency=16, max_attempts=6)
    await bench.run(2_000)
    assert bench.status.retried == 10_000
    assert len(bench.kept.by_id) == 2_000
    assert 8 < bench.client.most <= 16
    bench.assert_nothing_leaked()


async def test_a_bug_comes_out_when_the_calls_of_others_have_ended() -> None:
    release = anyio.Event()

    async def answer(request: Request) -> Reply:
        if request.index == 0:
            await anyio.wait_all_tasks_blocked()
            release.set()
            raise ZeroDivisionError
        await release.wait()
        return reply(usage={"input_tokens": 1, "output_tokens": 1})

    budget = Budget(HAIKU)
    bench = Bench(answer, budget=budget)
    with pytest.raises(ZeroDivisionError):
        await bench.run(5)
    assert bench.client.asked == ["d0", "d1"]
    assert list(bench.kept.by_id) == ["d1"]
    assert (budget.reserved, budget.maybe) == (0, budget.worst(bench.client.calls[0]))
    bench.assert_nothing_leaked()


# --- time ---------------------------------------------------------------------------------------------------------


async def test_a_call_that_hangs_is_ended_and_tried_again(no_waits: None) -> None:
    async def answer(request: Request) -> Reply:
        return reply() if request.attempt == 3 else await never(request)

    bench = Bench(answer, timeout_s=0.02)
    (record,) = await bench.run(1)
    assert (record.type, record.attempts, bench.status.retried) == ("answer", 3, 2)
    bench.assert_nothing_leaked()


async def test_a_client_that_always_hangs_is_a_record_and_holds_up_nobody(no_waits: None) -> None:
    async def answer(request: Request) -> Reply:
        return await never(request) if request.index == 1 else reply()

    bench = Bench(answer, timeout_s=0.02, max_attempts=2)
    await bench.run(6)
    error = bench.kept.by_id["d1"].error
    assert error is not None
    assert (error.type, error.message) == ("timeout", "no reply before the deadline")
    assert bench.kept.by_id["d1"].attempts == 2
    assert sum(record.type == "answer" for record in bench.kept.records) == 5
    bench.assert_nothing_leaked()


async def test_the_deadline_of_a_dialogue_ends_its_call() -> None:
    bench = Bench(never, timeout_s=3600, deadline_s=0.03)
    (record,) = await bench.run(1)
    assert record.error is not None
    assert (record.error.type, record.attempts) == ("timeout", 1)


async def test_a_deadline_that_comes_before_that_of_calls_begun_earlier_is_kept() -> None:
    """At 1.2 s the watch looks away until 1.8 s; then a retry begins that has to end at 1.5 s."""
    ended = anyio.Event()

    async def answer(request: Request) -> Reply:
        match request.dialogue.dialogue_id:
            case "hangs" if request.attempt == 1:
                raise asked_to_wait(1.3)
            case "hangs":
                await never(request)
            case "late":
                await ended.wait()
            case _:
                await anyio.sleep(0.6)
        return reply()

    bench = Bench(answer, timeout_s=1.2, deadline_s=1.5, max_attempts=2)

    def note(record: Record) -> None:
        if record.dialogue_id == "hangs":
            ended.set()

    bench.kept.on_put = note
    names = ("hangs", "takes long", "takes as long", "late")
    await bench.run([dialogue(dialogue_id=name) for name in names])
    types = {name: record.type for name, record in bench.kept.by_id.items()}
    assert types == {"hangs": "error", "takes long": "answer", "takes as long": "answer", "late": "answer"}


async def test_a_cancellation_that_comes_too_late_does_not_hit_the_next_call(clock: Clock) -> None:
    """The reply and the end of its time arrive in the same turn of the event loop."""
    release = [anyio.Event(), anyio.Event()]

    async def answer(request: Request) -> Reply:
        await release[request.index].wait()
        return reply()

    bench = Bench(answer, concurrency=1, timeout_s=10)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.run, 2)
        await anyio.wait_all_tasks_blocked()
        clock.now += 11.0
        release[0].set()
        bench.pool._deadlines.end_late_calls()
        for _ in range(10):  # turns in which the cancellation would be delivered
            await anyio.lowlevel.checkpoint()
        release[1].set()
    assert bench.client.asked == ["d0", "d1"]
    assert [(record.type, record.attempts) for record in bench.kept.records] == [("answer", 1)] * 2
    bench.assert_nothing_leaked()


async def test_calls_that_end_just_at_their_time_are_counted_right(no_waits: None) -> None:
    async def answer(_: Request) -> Reply:
        await anyio.sleep(0.002)
        return reply()

    bench = Bench(answer, concurrency=8, timeout_s=0.002, max_attempts=50)
    await bench.run(100)
    assert len(bench.client.calls) == sum(record.attempts for record in bench.kept.by_id.values())
    assert len(bench.kept.by_id) == 100
    assert bench.client.most <= 8
    bench.assert_nothing_leaked()


# --- the end ------------------------------------------------------------------------------------------------------


async def test_draining_lets_calls_in_flight_end_and_begins_no_other() -> None:
    release = anyio.Event()

    async def answer(_: Request) -> Reply:
        await release.wait()
        return reply()

    bench = Bench(answer)

    async def stop() -> None:
        await anyio.wait_all_tasks_blocked()
        bench.pool.drain(STOP)
        bench.pool.drain(Interrupted("later", signum=15))
        release.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        with pytest.raises(Interrupted, match="stopped"):
            await bench.run(10)
    assert bench.client.asked == ["d0", "d1"]
    assert len(bench.kept.by_id) == 2
    bench.assert_nothing_leaked()


@pytest.mark.parametrize("fatal", [True, False])
async def test_after_draining_no_further_turn_is_asked_and_the_dialogue_stays_owed(fatal: bool) -> None:
    release = anyio.Event()

    async def answer(request: Request) -> Reply:
        if request.index == 1:
            release.set()
            raise CallError("spend_limit", "no credit", status=402, fatal=fatal)
        await release.wait()
        if not fatal:
            bench.pool.drain(STOP)
        return reply()

    bench = Bench(answer)
    with pytest.raises(ProviderFailed if fatal else Interrupted):
        await bench.run([dialogue(0, turns=("a", "b", "c")), dialogue(1), dialogue(2)])
    assert bench.client.asked == ["d0", "d1"] if fatal else ["d0", "d1", "d2"]
    assert "d0" not in bench.kept.by_id
    bench.assert_nothing_leaked()


@pytest.mark.parametrize("error", [DatasetError([Problem(path="d", message="shrank")]), OSError("gone"), KeyError(1)])
async def test_a_dataset_that_breaks_off_does_not_cut_off_the_calls_in_flight(error: Exception) -> None:
    release = anyio.Event()

    async def answer(_: Request) -> Reply:
        await release.wait()
        return reply()

    def dialogues() -> Any:
        yield from (dialogue(0), dialogue(1))
        release.set()
        raise error

    bench = Bench(answer, concurrency=3)
    with pytest.raises(type(error)):
        await bench.pool.run(bench.planner.plan(dialogues()))
    assert sorted(bench.kept.by_id) == ["d0", "d1"]
    bench.assert_nothing_leaked()


async def test_requests_that_are_left_out_meanwhile_are_never_asked() -> None:
    """Another process has taken over the rest: the iterator ends early, and so does the pool."""
    ends = [20]

    async def answer(request: Request) -> Reply:
        if request.index == 4:
            ends[0] = 8
            bench.pool.leave_out(12)
        return reply()

    bench = Bench(answer)

    def owed() -> Iterator[Request]:
        for request in bench.planner.plan([dialogue(index) for index in range(20)]):
            if request.index >= ends[0]:
                return
            yield request

    with anyio.fail_after(20):
        await bench.pool.run(owed(), count=20)
    assert bench.client.asked == [f"d{index}" for index in range(8)]
    bench.assert_nothing_leaked()


async def test_draining_waits_for_no_retry() -> None:
    async def answer(_: Request) -> Reply:
        raise asked_to_wait(500)

    bench = Bench(answer)

    calls: list[Request] = []

    async def stop() -> None:
        await anyio.wait_all_tasks_blocked()
        assert bench.status.backing_off > 1
        calls.extend(bench.client.calls)
        bench.pool.drain(STOP)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        with pytest.raises(Interrupted):
            await bench.run(10)
    assert bench.client.calls == calls
    assert bench.kept.records == []
    bench.assert_nothing_leaked()


async def test_abandoning_ends_the_calls_in_flight_too() -> None:
    budget = Budget(HAIKU)
    bench = Bench(never, budget=budget)
    bench.pool.abandon()  # before there is anything to end

    async def stop() -> None:
        await anyio.wait_all_tasks_blocked()
        bench.pool.drain(STOP)
        await anyio.wait_all_tasks_blocked()
        assert bench.status.in_flight == 2
        bench.pool.abandon()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        with pytest.raises(Interrupted):
            await bench.run(10)
    assert bench.kept.records == []
    assert bench.client.in_flight == 0
    assert (budget.reserved, budget.maybe) == (0, 2 * budget.worst(bench.client.calls[0]))


async def test_a_provider_that_refuses_to_go_on_stops_the_run_but_not_what_is_in_flight() -> None:
    release = anyio.Event()

    async def answer(request: Request) -> Reply:
        if request.index == 1:
            release.set()
            raise CallError("authentication", "no such key", status=401, fatal=True)
        await release.wait()
        return reply()

    bench = Bench(answer)
    with pytest.raises(ProviderFailed, match="refuses to go on: no such key") as caught:
        await bench.run(50)
    assert isinstance(caught.value, ProfilerError)
    assert caught.value.exit_code == 3
    assert bench.client.asked == ["d0", "d1"]
    assert list(bench.kept.by_id) == ["d0"]
    bench.assert_nothing_leaked()


# --- slots that others share --------------------------------------------------------------------------------------


async def test_a_dialogue_that_is_cut_off_while_it_backs_off_gives_its_slot_back_once() -> None:
    shared = Slots(2)

    async def refused(_: Request) -> Reply:
        raise asked_to_wait(500)

    bench = Bench(refused)
    bench.pool.slots = Slots(2, within=shared)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.run, 1)
        await anyio.wait_all_tasks_blocked()
        assert (bench.status.backing_off, shared.taken) == (1, 0)
        tasks.cancel_scope.cancel()
    assert shared.taken == 0


@pytest.mark.parametrize("count", [3, 5, math.inf])
async def test_all_are_answered_whoever_has_counted_them(count: float) -> None:
    bench = Bench(at_once, concurrency=4)
    requests = bench.planner.plan(dialogue(index) for index in range(5))
    with anyio.fail_after(20):
        await bench.pool.run(iter(requests), count=count)
    assert len(bench.kept.records) == 5
    assert bench.slots.taken == 0


async def test_a_run_that_owes_nothing_still_looks_behind_its_last_dialogue() -> None:
    bench = Bench(at_once)
    looked: list[str] = []

    def nothing() -> Iterator[Request]:
        looked.append("yes")
        yield from ()

    with anyio.fail_after(20):
        await bench.pool.run(nothing(), count=0)
    assert looked == ["yes"]
