"""`Pool`: what the record of a dialogue says."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from profiler.core.errors import CallError
from profiler.core.nouns import Reply, Request
from tests.profiler.building import dialogue
from tests.profiler.engine.calls.bench import PASSING, Bench, Clock, asked_to_wait, reply


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
