from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.json import loads
from profiler.storage.writing import ordered_log
from profiler.storage.writing import writer as writer_module
from tests.profiler.building import line_of, record, request_line
from tests.profiler.storage.writing.desks import Desk, serve, serve_and_leave, text_of


def test_a_record_counts_as_done_once_it_is_in_the_journal(desk: Desk) -> None:
    desk.put(record(1))
    assert (desk.writer.done, desk.content("journal")) == (0, b"")
    desk.writer.flush()
    assert (desk.writer.done, desk.content("journal")) == (1, text_of(record(1)))


def test_a_question_is_kept_before_its_answer(desk: Desk) -> None:
    desk.put(record(0), record(1))
    desk.writer.flush()
    assert desk.notes == ["write requests", "write journal"]
    assert desk.content("requests") == line_of(request_line(0)) + line_of(request_line(1))


def test_nothing_queued_is_nothing_written(desk: Desk) -> None:
    desk.writer.flush()
    assert desk.notes == []


async def test_leaving_writes_out_all_that_is_queued(desk: Desk) -> None:
    async with desk.writer.running():
        desk.put(record(1), record(0))
    assert desk.content("journal") == text_of(record(1), record(0))
    assert desk.content("responses") == text_of(record(0), record(1))


async def test_what_waits_for_an_earlier_one_stays_in_the_journal_only(desk: Desk) -> None:
    async with desk.writer.running():
        desk.put(record(0), record(2))
    assert desk.content("responses") == text_of(record(0))
    assert desk.content("journal") == text_of(record(0), record(2))


async def test_a_crash_of_the_run_loses_nothing_that_was_put(desk: Desk) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await serve(desk, record(0), crash=True)
    assert caught.group_contains(LookupError)
    assert desk.content("responses") == text_of(record(0))


async def test_the_ordered_log_grows_while_the_run_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_log, "LINGER_S", 0.001)
    async with desk.writer.running():
        for index in range(3):
            desk.put(record(index))
            with anyio.fail_after(60):
                while not desk.content("responses").endswith(line_of(record(index))):
                    await anyio.lowlevel.checkpoint()


async def test_a_large_block_does_not_wait_for_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_log, "LINGER_S", 3600)
    monkeypatch.setattr(ordered_log, "BLOCK", 100)
    async with desk.writer.running():
        desk.put(record(0))
        with anyio.fail_after(60):
            while not desk.content("responses"):
                await anyio.lowlevel.checkpoint()


async def test_of_those_who_wait_for_room_one_goes_on_a_turn(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "BATCH", 1)
    gone_on: list[int] = []

    async def work(number: int) -> None:
        desk.put(record(number))
        assert desk.writer.full
        await desk.writer.make_room()
        gone_on.append(number)

    async with desk.writer.running(), anyio.create_task_group() as workers:
        for number in range(5):
            workers.start_soon(work, number)
        with anyio.fail_after(60):
            while len(gone_on) < 5:
                before = len(gone_on)
                await anyio.lowlevel.checkpoint()
                assert len(gone_on) <= before + 1
        assert not desk.writer.full
    assert gone_on == [0, 1, 2, 3, 4]
    assert desk.writer.done == 5


async def test_responses_keep_the_fields_asked_for_in_the_order_asked_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path, fields=("type", "replies", "dialogue_id", "usage"))
    async with desk.writer.running():
        desk.put(record(0, "größer"), record(1, replies=("a", "b")))
    lines = [loads(line) for line in desk.content("responses").splitlines()]
    usage = {"input_tokens": 3, "output_tokens": 4}
    assert [list(line.items()) for line in lines] == [
        [("type", "answer"), ("dialogue_id", "d0"), ("usage", usage)],
        [("type", "answer"), ("replies", ["a", "b"]), ("dialogue_id", "d1"), ("usage", usage)],
    ]
    assert desk.content("journal") == text_of(record(0, "größer"), record(1, replies=("a", "b")))
    desk.close()


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    count=st.integers(min_value=1, max_value=30),
    cancel_after=st.integers(min_value=0, max_value=60),
    in_memory=st.sampled_from([0, 300, 1 << 20]),
    block=st.sampled_from([1, 500, 1 << 20]),
)
def test_a_cancellation_at_any_moment_neither_loses_nor_doubles_a_line(
    data: st.DataObject, count: int, cancel_after: int, in_memory: int, block: int
) -> None:
    arrivals = data.draw(st.permutations(range(count)))
    pauses = data.draw(st.lists(st.integers(min_value=0, max_value=3), min_size=count, max_size=count))
    put: list[int] = []

    async def arrive(desk: Desk, scope: anyio.CancelScope) -> None:
        for index, pause in zip(arrivals, pauses, strict=True):
            desk.put(record(index))
            put.append(index)
            for _ in range(pause):
                await anyio.lowlevel.checkpoint()
                if desk.turns == cancel_after:
                    scope.cancel()
                desk.turns += 1

    async def run(desk: Desk) -> None:
        with anyio.CancelScope() as scope:
            async with desk.writer.running():
                await arrive(desk, scope)

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered_log, "BLOCK", block)
        patch.setattr(ordered_log, "LINGER_S", 0)
        desk = Desk(folder, in_memory=in_memory)
        anyio.run(run, desk)
        desk.close()
        turn = next((index for index in range(count) if index not in put), count)
        assert desk.content("responses") == text_of(*map(record, range(turn)))
        assert desk.content("journal") == text_of(*map(record, put))
        assert desk.content("requests") == b"".join(line_of(request_line(index)) for index in put)
        assert desk.writer.done == len(put)


@pytest.mark.parametrize(
    "fields",
    [{"completion": "\ud800"}, {"usage": {"input_tokens": object()}}, {"model": "\ud800"}, {"usage": {1: object()}}],
)
async def test_a_record_that_cannot_be_written_down_loses_nothing_but_itself(
    fields: dict[str, Any], desk: Desk
) -> None:
    await serve_and_leave(desk, record(0), record(1, **fields), record(2))

    first, second, third = desk.content("responses").splitlines(keepends=True)
    assert (first, third) == (line_of(record(0)), line_of(record(2)))
    found = loads(second)
    assert (found["dialogue_id"], found["index"], found["type"]) == ("d1", 1, "error")
    assert found["error"]["type"] == "unwritable"
    assert (desk.content("journal").count(b"\n"), desk.writer.done) == (3, 3)
