"""What a server tells of itself over HTTP while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.provider.mock_server.server import MockServer
from profiler.provider.mock_server.settings import ServerSettings
from tests.profiler.provider.mock_server.raw import HEADERS, ask, connect, post

if TYPE_CHECKING:
    from pathlib import Path


async def stats(server: MockServer, *, path: str = "/__stats", method: str = "GET") -> Any:
    return (await ask(server, b"", path=path, method=method)).json


async def test_the_counters_count() -> None:
    async with MockServer() as server:
        await ask(server)
        await ask(server)
        await ask(server, b"{")
        await ask(server, b"", path="/v1/models", method="GET")
        counted = await stats(server, path="/__stats?asked")

    assert counted["requests"] == {"total": 4, "by_endpoint": {"/v1/messages": 3, "/v1/models": 1}}
    assert counted["replies"]["by_endpoint"] == {"/v1/messages": {"200": 2, "400": 1}, "/v1/models": {"200": 1}}
    assert (counted["in_flight"], counted["max_in_flight"]) == (0, 1)
    asked = counted["asked"]
    assert (asked["distinct"], asked["more_than_once"], asked["after_an_answer"]) == (1, 1, 1)
    assert list(asked["each"].values()) == [{"asked": 2, "answered": 2}]


async def test_what_is_asked_is_counted_under_the_name_that_the_client_gives() -> None:
    async with MockServer() as server:
        await ask(server, headers={**HEADERS, "x-dialogue-id": "tide"})

        assert server.stats["asked"]["each"] == {"tide": {"asked": 1, "answered": 1}}


async def test_a_retry_is_not_taken_for_a_second_call_after_an_answer(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('["500", "ok", "ok"]')
    async with MockServer(ServerSettings(script_path=script)) as server:
        seen = []
        for _ in range(3):
            await ask(server)
            seen.append(server.stats["asked"]["after_an_answer"])

    assert seen == [0, 0, 1]


async def test_an_answer_that_did_not_arrive_does_not_count_as_one() -> None:
    async with MockServer(ServerSettings(faults={"half-body": 1.0})) as server:
        async with connect(server) as line:
            await line.send(post())
            await line.reader.read()

        (each,) = server.stats["asked"]["each"].values()
        assert each == {"asked": 1, "answered": 0}


async def test_reset_begins_from_zero_and_tells_what_was() -> None:
    async with MockServer(ServerSettings(requests_per_minute=1)) as server:
        await ask(server)
        assert (await ask(server)).status == 429
        before = await stats(server, path="/__reset", method="POST")
        again = await ask(server)
        after = await stats(server)

    assert before["requests"]["total"] == 2
    assert again.status == 200
    assert after["requests"]["total"] == 1
