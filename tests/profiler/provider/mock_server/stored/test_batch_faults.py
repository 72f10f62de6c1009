"""What can go wrong with a batch, from its creation to its results."""

from __future__ import annotations

import json

import anthropic
import httpx2
import pytest

from tests.profiler.provider.mock_server.raw import ask
from tests.profiler.provider.mock_server.stored.batching import (
    PATH,
    create,
    entries,
    kinds,
    results,
    serving,
)


async def test_a_batch_can_exist_though_nobody_heard_of_it() -> None:
    async with serving(script=[{"fault": "create-lost", "times": 1}]) as (_, client):
        with pytest.raises(anthropic.APIConnectionError):
            await create(client, entries(2))
        found = [batch.id async for batch in client.messages.batches.list()]

    assert len(found) == 1


async def test_a_batch_can_exist_though_its_creation_was_said_to_fail() -> None:
    async with serving(script=[{"fault": "create-500", "times": 1}]) as (_, client):
        with pytest.raises(anthropic.InternalServerError):
            await create(client, entries(2))
        found = [batch.id async for batch in client.messages.batches.list()]

    assert len(found) == 1


async def test_a_creation_that_is_refused_creates_nothing() -> None:
    async with serving(script=[{"endpoint": "batches.create", "fault": "429", "times": 1}]) as (_, client):
        with pytest.raises(anthropic.RateLimitError):
            await create(client, entries(2))
        found = [batch.id async for batch in client.messages.batches.list()]

    assert found == []


async def test_a_new_batch_can_be_unknown_for_a_while() -> None:
    async with serving(script=[{"fault": "batch-unseen", "for_s": 30}]) as (server, client):
        batch = await create(client, entries(1))
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.batches.retrieve(batch.id)
        assert [each async for each in client.messages.batches.list()] == []
        server.app.clock.advance(30)
        assert (await client.messages.batches.retrieve(batch.id)).id == batch.id


@pytest.mark.parametrize(
    ("fault", "lines", "distinct", "unknown"),
    [("results-missing", 6, 6, 0), ("results-double", 14, 10, 0), ("results-unknown", 14, 14, 4)],
)
async def test_results_can_lack_lines_or_have_too_many(fault: str, lines: int, distinct: int, unknown: int) -> None:
    async with serving(script=[{"fault": fault, "share": 0.4}]) as (_, client):
        batch = await create(client, entries(10))
        found = [line.custom_id for line in await results(client, batch.id)]

    assert (len(found), len(set(found))) == (lines, distinct)
    assert sum(name.startswith("never-sent") for name in found) == unknown


async def test_results_can_end_in_the_middle_of_a_line() -> None:
    async with serving(script=[{"fault": "results-torn", "share": 0.2}]) as (server, client):
        batch = await create(client, entries(10))
        answer = await ask(server, b"", path=f"{PATH}/{batch.id}/results", method="GET")

    *whole, torn = answer.body.split(b"\n")
    assert len([json.loads(line) for line in whole]) == 8
    with pytest.raises(json.JSONDecodeError):
        json.loads(torn)


async def test_the_connection_can_break_under_the_results() -> None:
    async with serving(script=[{"endpoint": "batches.results", "fault": "half-body"}]) as (_, client):
        batch = await create(client, entries(10))
        with pytest.raises(httpx2.RemoteProtocolError):  # the SDK does not wrap what happens while lines are read
            await results(client, batch.id)


async def test_some_requests_of_a_batch_can_fail_at_the_provider() -> None:
    async with serving(faults={"529@batches.item": 0.5}) as (_, client):
        batch = await create(client, entries(40))
        found = await results(client, batch.id)

    assert 5 < kinds(found)["errored"] < 35
    assert {line.result.error.error.type for line in found if line.result.type == "errored"} == {"overloaded_error"}
