"""Each fault as a client without manners sees it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from profiler.core.errors import ProfilerError
from profiler.provider.mock_server.admission.fault_script import Faults, Subject, load_script
from profiler.provider.mock_server.admission.faults import NAMES, ONLY_AT, STATUSES
from profiler.provider.mock_server.server import MockServer
from profiler.provider.mock_server.settings import ServerSettings
from tests.profiler.provider.mock_server.raw import ASKED, HEADERS, Answer, ask, connect, post, until

if TYPE_CHECKING:
    from pathlib import Path


async def meeting(fault: str, **settings: Any) -> Answer:
    async with MockServer(ServerSettings(faults={fault: 1.0}, **settings)) as server:
        return await ask(server)


async def everything(server: MockServer) -> bytes:
    """All bytes until the server ends the connection."""
    async with connect(server) as line:
        await line.send(post())
        return await line.reader.read()


@pytest.mark.parametrize("fault", STATUSES)
async def test_a_status_comes_with_the_providers_words(fault: str) -> None:
    answer = await meeting(fault)

    status, kind, message = STATUSES[fault]
    assert (answer.status, answer.error) == (status, (kind, message))
    assert answer.json["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        *(("429", "1"), ("429-none", None), ("429-zero", "0"), ("429-negative", "-5"), ("429-fraction", "0.25")),
        *(("429-absurd", "31536000"), ("429-text", "soon"), ("429-spend-limit", None), ("429-ramp", "1")),
    ],
)
async def test_a_429_asks_for_a_wait_in_every_odd_way(fault: str, asked: str | None) -> None:
    answer = await meeting(fault)

    assert (answer.status, answer.headers.get("retry-after")) == (429, asked)


@pytest.mark.parametrize(("fault", "ahead"), [("429-date", True), ("429-past", False)])
async def test_a_429_asks_for_a_wait_until_a_date(fault: str, ahead: bool) -> None:
    before = datetime.now(UTC)

    answer = await meeting(fault)

    assert (parsedate_to_datetime(answer.headers["retry-after"]) > before) is ahead


@pytest.mark.parametrize(
    ("fault", "status", "content_type"),
    [("502", 502, "text/html"), ("html", 200, "text/html"), ("wrong-type", 200, "text/plain")],
)
async def test_an_answer_is_not_what_it_should_be(fault: str, status: int, content_type: str) -> None:
    answer = await meeting(fault)

    assert (answer.status, answer.headers["content-type"]) == (status, content_type)


async def test_json_can_be_of_another_shape() -> None:
    assert "content" not in (await meeting("wrong-json")).json


async def test_json_can_be_broken_off() -> None:
    with pytest.raises(json.JSONDecodeError):
        _ = (await meeting("broken-json")).json


async def test_a_body_can_be_empty() -> None:
    assert (await meeting("empty")).body == b""


async def test_a_body_can_be_huge() -> None:
    answer = await meeting("huge")

    assert len(answer.json["content"][0]["text"]) == 10_000_000


async def test_a_reset_is_a_reset_and_not_an_end() -> None:
    async with MockServer(ServerSettings(faults={"reset": 1.0})) as server:
        with pytest.raises(ConnectionResetError):
            await everything(server)


async def test_a_reset_can_come_after_half_an_answer() -> None:
    async with MockServer(ServerSettings(faults={"half-reset": 1.0})) as server, connect(server) as line:
        await line.send(post())
        status, headers = await line.head()
        with pytest.raises(ConnectionResetError):
            await line.reader.readexactly(int(headers["content-length"]))

    assert status == 200


async def test_a_close_gives_nothing() -> None:
    async with MockServer(ServerSettings(faults={"close": 1.0})) as server:
        assert await everything(server) == b""


async def test_half_a_head_has_no_end() -> None:
    async with MockServer(ServerSettings(faults={"half-head": 1.0})) as server:
        got = await everything(server)

    assert got.startswith(b"HTTP/1.1 200")
    assert b"\r\n\r\n" not in got


async def test_half_a_body_is_shorter_than_its_length() -> None:
    async with MockServer(ServerSettings(faults={"half-body": 1.0})) as server, connect(server) as line:
        await line.send(post())
        _, headers = await line.head()
        body = await line.reader.read()

    assert 0 < len(body) < int(headers["content-length"])


@pytest.mark.parametrize("fault", ["hang", "half-hang"])
async def test_a_hang_lasts_until_the_client_leaves(fault: str) -> None:
    async with MockServer(ServerSettings(faults={fault: 1.0})) as server:
        async with connect(server) as line:
            await line.send(post())
            with anyio.move_on_after(0.2) as waited:
                while await line.reader.read(1000):
                    pass
            assert waited.cancelled_caught
            assert server.stats["in_flight"] == 1
        await gone(server)

        assert (server.stats["in_flight"], server.stats["replies"]["unfinished"]) == (0, 1)


async def gone(server: MockServer) -> None:
    await until(lambda: not server.stats["connections"]["open"])


async def test_a_trickled_answer_is_whole_and_slow() -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()

    answer = await meeting("trickle", trickle_s=0.3)

    assert answer.json["type"] == "message"
    assert loop.time() - begun >= 0.29


async def test_a_stream_breaks_off_in_the_middle() -> None:
    async with MockServer(ServerSettings(faults={"half-body": 1.0})) as server, connect(server) as line:
        await line.send(post({**ASKED, "stream": True}))
        await line.head()
        events = await line.reader.read()

    assert b"message_start" in events
    assert b"message_stop" not in events


@pytest.mark.parametrize("fault", [name for name in NAMES if ONLY_AT.get(name, "messages") == "messages"])
async def test_no_fault_harms_the_requests_after_it(fault: str, tmp_path: Path) -> None:
    script = written(tmp_path, [fault, "ok"])
    async with MockServer(ServerSettings(script_path=script, trickle_s=0.05)) as server:
        async with connect(server) as line:
            await line.send(post())
            with anyio.move_on_after(0.05 if "hang" in fault else 5):
                with suppress(OSError, EOFError):
                    await line.answer()
        after = await ask(server)
        await gone(server)

        assert after.status == 200
        assert server.stats["faults"] == {fault: 1}
        assert server.stats["in_flight"] == 0


def written(folder: Path, script: Any) -> Path:
    path = folder / "script.json"
    path.write_text(json.dumps(script))
    return path


async def test_a_script_gives_the_nth_fault_to_the_nth_request(tmp_path: Path) -> None:
    script = written(tmp_path, ["429", None, {"fault": "500", "times": 2}, "ok", "529"])
    async with MockServer(ServerSettings(script_path=script)) as server:
        statuses = [(await ask(server)).status for _ in range(8)]

    assert statuses == [429, 200, 500, 500, 200, 529, 200, 200]


async def test_a_rule_meets_only_what_it_names(tmp_path: Path) -> None:
    script = written(
        tmp_path, [{"contains": "salty", "fault": "500", "times": 1}, {"dialogue_id": "b", "fault": "400"}]
    )
    named = {**HEADERS, "x-dialogue-id": "b"}
    other = {**ASKED, "messages": [{"role": "user", "content": "Is it sweet?"}]}
    async with MockServer(ServerSettings(script_path=script)) as server:
        statuses = [
            (await ask(server, other)).status,
            (await ask(server)).status,
            (await ask(server)).status,
            (await ask(server, other, headers=named)).status,
            (await ask(server, other, headers=named)).status,
        ]

    assert statuses == [200, 500, 200, 400, 400]


async def test_a_script_says_what_a_429_asks_for(tmp_path: Path) -> None:
    script = written(tmp_path, [{"fault": "429", "retry_after": "7", "error_code": "ramp_limit_exceeded"}])
    async with MockServer(ServerSettings(script_path=script)) as server:
        answer = await ask(server)

    assert answer.headers["retry-after"] == "7"
    assert answer.json["error"]["details"] == {"error_code": "ramp_limit_exceeded"}


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ('["430"]', "did you mean"),
        ('{"fault": "429"}', "JSON list"),
        ('[{"falt": "429"}]', "falt"),
        ('[{"fault": "429", "times": 0}]', "times"),
        ("[", "does not decode"),
    ],
)
def test_a_script_that_is_wrong_is_refused_with_a_word(script: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(script)

    with pytest.raises(ProfilerError) as caught:
        load_script(path)

    assert complaint in f"{caught.value} {caught.value.hint}"


def test_rates_of_more_than_all_are_refused() -> None:
    with pytest.raises(ProfilerError, match="at most 1"):
        MockServer(ServerSettings(faults={"429": 0.6, "500": 0.6}))


def test_rates_share_the_draws_between_them() -> None:
    faults = Faults(rates={"429": 0.25, "500": 0.5})

    met = Counter(faults.next(Subject(endpoint="messages", draw=(n + 0.5) / 100)).fault for n in range(100))

    assert met == {"429": 25, "500": 50, "ok": 25}


async def test_what_fails_depends_on_the_request_and_not_on_the_order() -> None:
    bodies = [{**ASKED, "messages": [{"role": "user", "content": f"Question {n}"}]} for n in range(60)]
    found = []
    for order in (bodies, bodies[::-1]):
        async with (
            MockServer(ServerSettings(faults={"429": 0.2, "500": 0.2}, seed=5)) as server,
            connect(server) as line,
        ):
            statuses = {}
            for body in order:
                await line.send(post(body))
                statuses[str(body)] = (await line.answer()).status
            found.append(statuses)

    assert found[0] == found[1]
    assert set(found[0].values()) == {200, 429, 500}


async def test_a_retry_gets_a_draw_of_its_own() -> None:
    async with MockServer(ServerSettings(faults={"500": 0.5})) as server:
        statuses = {(await ask(server)).status for _ in range(20)}

    assert statuses == {200, 500}
