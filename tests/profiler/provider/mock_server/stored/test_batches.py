"""Message Batches as the official SDK sees them, on a clock that is moved, and what can go wrong with them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import anthropic
import pytest

from profiler.provider.mock_server.server import MockServer
from profiler.provider.mock_server.settings import ServerSettings
from tests.profiler.provider.mock_server.raw import ask, connect, post, until
from tests.profiler.provider.mock_server.stored.batching import (
    HOUR_S,
    PATH,
    create,
    entries,
    entry,
    kinds,
    results,
    serving,
)

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_batch_is_processed_and_every_request_has_its_result() -> None:
    async with serving() as (_, client):
        created = await create(client, entries(30))
        ended = await client.messages.batches.retrieve(created.id)
        lines = await results(client, created.id)
        message = await client.messages.create(**entry("q7")["params"])

    assert (created.processing_status, created.request_counts.processing, created.ended_at) == ("in_progress", 30, None)
    assert (ended.processing_status, ended.request_counts.succeeded) == ("ended", 30)
    assert sorted(line.custom_id for line in lines) == sorted(f"q{number}" for number in range(30))
    (seventh,) = [line for line in lines if line.custom_id == "q7"]
    assert seventh.result.type == "succeeded"
    assert seventh.result.message.content == message.content
    assert seventh.result.message.usage.service_tier == "batch"


async def test_results_come_in_another_order_than_they_were_asked_in() -> None:
    async with serving() as (_, client):
        lines = await results(client, (await create(client, entries(30))).id)

    assert [line.custom_id for line in lines] != [f"q{number}" for number in range(30)]


async def test_nothing_is_counted_until_all_has_ended() -> None:
    async with serving(batch_s=HOUR_S) as (server, client):
        batch = await create(client, entries(4))
        server.app.clock.advance(HOUR_S - 1)
        before = await client.messages.batches.retrieve(batch.id)
        server.app.clock.advance(1)
        after = await client.messages.batches.retrieve(batch.id)

    assert (before.processing_status, before.results_url) == ("in_progress", None)
    assert before.request_counts.to_dict() == {
        **dict.fromkeys(("canceled", "errored", "expired", "succeeded"), 0),
        "processing": 4,
    }
    assert (after.request_counts.processing, after.request_counts.succeeded) == (0, 4)
    assert after.ended_at is not None
    assert (after.ended_at - after.created_at).total_seconds() == HOUR_S


async def test_how_long_it_takes_is_drawn_and_depends_on_the_seed() -> None:
    async def took(seed: int) -> list[float]:
        async with serving(seed=seed, batch_s=600.0, batch_sigma=0.5) as (server, client):
            made = [await create(client, entries(1)) for _ in range(3)]
            server.app.clock.advance(20 * HOUR_S)
            ended = [await client.messages.batches.retrieve(batch.id) for batch in made]
            return [(each.ended_at - each.created_at).total_seconds() for each in ended if each.ended_at]

    first = await took(1)
    assert len(set(first)) == 3
    assert await took(1) == pytest.approx(first, abs=0.001)
    assert await took(2) != pytest.approx(first, abs=0.001)


async def test_a_cancelled_batch_has_part_of_its_results() -> None:
    async with serving(batch_s=HOUR_S, batch_cancel_s=60.0) as (server, client):
        batch = await create(client, entries(10))
        server.app.clock.advance(HOUR_S / 2)
        canceling = await client.messages.batches.cancel(batch.id)
        server.app.clock.advance(60)
        ended = await client.messages.batches.retrieve(batch.id)
        lines = await results(client, batch.id)

    assert (canceling.processing_status, canceling.request_counts.processing) == ("canceling", 10)
    assert canceling.cancel_initiated_at is not None
    assert ended.processing_status == "ended"
    assert kinds(lines) == {"canceled": 5, "succeeded": 5}
    assert (ended.request_counts.canceled, ended.request_counts.succeeded) == (5, 5)


async def test_what_is_not_done_within_a_day_expires() -> None:
    async with serving(batch_s=48 * HOUR_S) as (server, client):
        batch = await create(client, entries(10))
        server.app.clock.advance(24 * HOUR_S)
        ended = await client.messages.batches.retrieve(batch.id)
        lines = await results(client, batch.id)

    assert ended.ended_at == ended.expires_at
    assert kinds(lines) == {"expired": 5, "succeeded": 5}


async def test_a_stuck_batch_ends_by_its_day_or_by_being_cancelled() -> None:
    stuck = [{"fault": "batch-stuck", "share": 0.3}]
    async with serving(script=stuck) as (server, client):
        first, second = await create(client, entries(10)), await create(client, entries(10))
        server.app.clock.advance(HOUR_S)
        assert (await client.messages.batches.retrieve(first.id)).processing_status == "in_progress"
        await client.messages.batches.cancel(second.id)
        cancelled = await results(client, second.id)
        server.app.clock.advance(23 * HOUR_S)
        expired = await results(client, first.id)

    assert kinds(cancelled) == {"canceled": 7, "succeeded": 3}
    assert kinds(expired) == {"expired": 7, "succeeded": 3}


async def test_results_are_gone_after_twenty_nine_days() -> None:
    async with serving() as (server, client):
        batch = await create(client, entries(1))
        server.app.clock.advance(29 * 24 * HOUR_S)
        archived = await client.messages.batches.retrieve(batch.id)
        answer = await ask(server, b"", path=f"{PATH}/{batch.id}/results", method="GET")

    assert (archived.results_url, archived.archived_at is None) == (None, False)
    assert answer.status == 404


async def test_the_newest_come_first_page_by_page() -> None:
    async with serving() as (_, client):
        made = [(await create(client, entries(1))).id for _ in range(5)]
        found = [batch.id async for batch in client.messages.batches.list(limit=2)]
        before = await client.messages.batches.list(before_id=made[0], limit=2)

    assert found == made[::-1]
    assert ([batch.id for batch in before.data], before.has_more) == ([made[2], made[1]], True)


async def test_only_what_has_ended_can_be_deleted_and_only_what_has_not_can_be_cancelled() -> None:
    async with serving(batch_s=HOUR_S) as (server, client):
        batch = await create(client, entries(1))
        with pytest.raises(anthropic.BadRequestError, match="cancel it first"):
            await client.messages.batches.delete(batch.id)
        server.app.clock.advance(HOUR_S)
        with pytest.raises(anthropic.BadRequestError, match="already ended"):
            await client.messages.batches.cancel(batch.id)
        deleted = await client.messages.batches.delete(batch.id)
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.batches.retrieve(batch.id)

    assert deleted.to_dict() == {"id": batch.id, "type": "message_batch_deleted"}


async def test_results_of_a_batch_that_goes_on_are_not_there() -> None:
    async with serving(batch_s=HOUR_S) as (server, client):
        batch = await create(client, entries(1))
        answer = await ask(server, b"", path=f"{PATH}/{batch.id}/results", method="GET")

    assert (answer.status, answer.error[0]) == (404, "not_found_error")


async def test_what_is_wrong_with_one_request_is_its_result_and_no_others() -> None:
    wrong = [entry("unknown", nonsense=1), entry("stream", stream=True), entry("right")]
    async with serving() as (_, client):
        batch = await create(client, wrong)
        found = {line.custom_id: line.result for line in await results(client, batch.id)}
        ended = await client.messages.batches.retrieve(batch.id)

    assert found["right"].type == "succeeded"
    for name in ("unknown", "stream"):
        result = found[name]
        assert result.type == "errored"
        assert result.error.error.type == "invalid_request_error"
    assert (ended.request_counts.errored, ended.request_counts.succeeded) == (2, 1)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "requests: Field required"),
        ({"requests": []}, "requests: List should have at least 1 item after validation, not 0"),
        ({"requests": [{"custom_id": "a"}]}, "requests.0.params: Field required"),
        ({"requests": [{"custom_id": 5, "params": {}}]}, "requests.0.custom_id: Input should be a valid string"),
        ({"requests": [{"custom_id": "a", "params": []}]}, "requests.0.params: Input should be a valid dictionary"),
        (
            {"requests": [{"custom_id": "a", "params": {}, "more": 1}]},
            "requests.0.more: Extra inputs are not permitted",
        ),
        ({"requests": [entry("a b")]}, "requests.0.custom_id: String should match pattern"),
        ({"requests": [entry("x" * 65)]}, "requests.0.custom_id"),
        ({"requests": [entry("a"), entry("b"), entry("a")]}, "requests.2.custom_id"),
        ({"requests": [entry("")]}, "requests.0.custom_id"),
        (b"{", "not valid JSON"),
    ],
)
async def test_a_batch_that_is_wrong_as_a_whole_is_refused(body: Any, complaint: str) -> None:
    async with MockServer() as server:
        answer = await ask(server, body, path=PATH)

    assert (answer.status, answer.error[0]) == (400, "invalid_request_error")
    assert complaint in answer.error[1]


async def test_a_batch_may_be_larger_than_a_message() -> None:
    settings = ServerSettings(max_body=10_000, max_batch_body=1_000_000)
    async with MockServer(settings) as server:
        assert (await ask(server, {"requests": entries(200)}, path=PATH)).status == 200
        assert (await ask(server, {"requests": entries(10_000)}, path=PATH)).status == 413


async def test_the_queue_holds_no_more_than_its_limit_until_a_batch_ends() -> None:
    async with serving(batch_queue=10, batch_s=HOUR_S) as (server, client):
        await create(client, entries(8))
        with pytest.raises(anthropic.RateLimitError) as refused:
            await create(client, entries(3))
        server.app.clock.advance(HOUR_S)
        await create(client, entries(3))

    assert refused.value.response.headers["retry-after"] == "60"


async def test_a_large_batch_keeps_nobody_else_waiting() -> None:
    """Between two slices of its work others are served: their answer is there before its own."""
    async with MockServer() as server, connect(server) as line:
        made = await ask(server, {"requests": entries(2000)}, path=PATH)
        await line.send(post(b"", path=f"{PATH}/{made.json['id']}", method="GET"))
        other = await ask(server)
        (batch,) = server.app._batches._kept.values()
        in_between = batch.batch.settled
        ended = await line.answer()

    assert (other.status, in_between) == (200, False)
    assert ended.json["request_counts"]["succeeded"] == 2000


async def test_results_wait_for_a_client_that_does_not_read_them(tmp_path: Path) -> None:
    """They are read from the disk as they are sent, so a slow client costs no memory."""
    prepared = tmp_path / "responses.json"
    prepared.write_text(json.dumps({"all": {"when": {"text": "."}, "completion": "long " * 12_000}}))
    large = [entry(str(number), max_tokens=20_000) for number in range(200)]
    async with MockServer(responses_path=prepared) as server, connect(server) as line:
        made = await ask(server, {"requests": large}, path=PATH)
        (kept,) = server.app._batches._kept.values()
        await line.send(post(b"", path=f"{PATH}/{made.json['id']}/results", method="GET"))
        await until(lambda: kept.batch.settled)
        for _ in range(1000):
            await asyncio.sleep(0)
        waiting = server.stats["in_flight"]
        found = bytearray()
        while not found.endswith(b"\r\n0\r\n\r\n"):
            found += await line.reader.read(1 << 20)
        await until(lambda: server.stats["in_flight"] == 0)

    assert waiting == 1
    assert len(found) > 200 * 60_000


async def test_what_a_batch_asked_is_counted_as_asked_and_answered() -> None:
    async with serving() as (server, client):
        batch = await create(client, entries(3))
        await results(client, batch.id)
        await results(client, batch.id)

        assert server.stats["asked"]["distinct"] == 3
        assert {each["answered"] for each in server.stats["asked"]["each"].values()} == {1}


# what goes wrong, by name
