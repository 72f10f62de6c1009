"""Connections, limits, waits and counters, over real sockets."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from hashlib import sha256
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiler.core.errors import UsageError
from profiler.provider.mock_server.server import MockServer
from profiler.provider.mock_server.settings import ServerSettings
from tests.profiler.provider.mock_server.raw import ASKED, HEADERS, Answer, ask, connect, post, until


def question(number: int, **changes: Any) -> dict[str, Any]:
    return {**ASKED, "messages": [{"role": "user", "content": f"Question {number}"}], **changes}


def answers(answer: Answer, body: dict[str, Any]) -> bool:
    """Whether this is the answer to that body: the id of a message is made from the bytes it answers."""
    digest = sha256(json.dumps(body).encode()).hexdigest()
    return bool(answer.json["id"] == f"msg_{digest[:24]}")


async def test_one_connection_serves_many_requests() -> None:
    async with MockServer() as server, connect(server) as line:
        for number in range(5):
            await line.send(post(question(number)))
            assert answers(await line.answer(), question(number))

        assert server.stats["connections"]["opened"] == 1


@pytest.mark.parametrize("latency_s", [0.0, 0.01])
async def test_requests_that_come_together_are_answered_in_order(latency_s: float) -> None:
    async with MockServer(ServerSettings(latency_s=latency_s)) as server, connect(server) as line:
        await line.send(b"".join(post(question(number)) for number in range(20)))
        for number in range(20):
            assert answers(await line.answer(), question(number))


async def test_more_than_may_wait_is_read_later_and_lost_never() -> None:
    large = [question(number, system="x" * 200_000) for number in range(5)]
    async with (
        MockServer(ServerSettings(latency_s=0.02)) as server,
        connect(server) as line,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(line.send, b"".join(map(post, large)))
        for body in large:
            assert answers(await line.answer(), body)


async def test_a_client_that_does_not_read_is_answered_when_it_does() -> None:
    count = 40
    settings = ServerSettings(faults={"huge": 1.0})
    async with MockServer(settings) as server, connect(server) as line:
        await line.send(b"".join(post(question(number)) for number in range(count)))
        await until(lambda: server.stats["requests"]["total"] > 0)
        assert server.stats["requests"]["total"] < count  # the others wait, and so does their memory
        for _ in range(3):
            assert (await line.answer()).status == 200


async def test_the_end_of_the_connection_is_the_clients_to_choose() -> None:
    async with MockServer() as server, connect(server) as line:
        await line.send(post(headers={**HEADERS, "connection": "close"}))
        assert (await line.answer()).status == 200
        assert await line.reader.read() == b""


async def test_who_waits_to_be_told_to_go_on_is_told() -> None:
    request = post(headers={**HEADERS, "expect": "100-continue"})
    head, gap, body = request.partition(b"\r\n\r\n")
    async with MockServer() as server, connect(server) as line:
        await line.send(head + gap)
        assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await line.send(body)
        assert (await line.answer()).status == 200


async def test_head_gets_a_head_alone() -> None:
    async with MockServer() as server, connect(server) as line:
        await line.send(post(b"", method="HEAD", path="/v1/nowhere"))
        assert (await line.head())[0] == 404
        await line.send(post())
        assert (await line.answer()).status == 200


async def test_who_sends_too_much_can_still_read_why() -> None:
    size = 3_000_000
    async with MockServer(ServerSettings(max_body=1_000_000)) as server, connect(server) as line:
        await line.send(f"POST /v1/messages HTTP/1.1\r\ncontent-length: {size}\r\n\r\n".encode())
        await line.send(b"x" * size)
        answer = await line.answer()
        assert await line.reader.read() == b""

    assert (answer.status, answer.error[0]) == (413, "request_too_large")


async def test_what_is_no_request_is_told_so_and_then_cut_off() -> None:
    async with MockServer() as server, connect(server) as line:
        await line.send(b"hello\r\n\r\n" + post())
        answer = await line.answer()
        assert await line.reader.read() == b""
        assert server.stats["connections"]["malformed"] == {"400": 1}

    assert (answer.status, answer.error[0]) == (400, "invalid_request_error")


async def test_a_request_that_never_becomes_whole_is_given_up() -> None:
    async with MockServer(ServerSettings(request_timeout_s=0.1)) as server, connect(server) as line:
        await line.send(post()[:-1])
        answer = await line.answer()

    assert answer.status == 408


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with MockServer(ServerSettings(idle_timeout_s=0.1)) as server, connect(server) as line:
        await line.send(post())
        await line.answer()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await line.head()


async def test_an_answer_may_take_longer_than_a_connection_may_idle() -> None:
    slow = ServerSettings(idle_timeout_s=0.1, request_timeout_s=0.1, latency_s=0.3)
    async with MockServer(slow) as server:
        assert (await ask(server)).status == 200


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_random_bytes_never_stop_the_server(pieces: list[bytes]) -> None:
    complaints: list[dict[str, Any]] = []

    async def disturb() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with MockServer() as server:
            async with connect(server) as line:
                for piece in pieces:
                    await line.send(piece + b"\r\n\r\n")
                line.writer.write_eof()
                await line.reader.read()
            assert (await ask(server)).status == 200

    asyncio.run(disturb())
    assert complaints == []


# what it costs: time and room


async def timed(server: MockServer, body: Any = ASKED) -> float:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert (await ask(server, body)).status == 200
    return loop.time() - begun


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_takes_the_latency(stream: bool) -> None:
    async with MockServer(ServerSettings(latency_s=0.2)) as server:
        took = await timed(server, {**ASKED, "stream": stream})

    assert 0.19 <= took < 2


async def test_the_first_event_of_a_stream_waits_and_the_last_one_longer() -> None:
    async with MockServer(ServerSettings(latency_s=0.4)) as server, connect(server) as line:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await line.send(post({**ASKED, "stream": True}))
        await line.head()
        first = loop.time() - begun
        while not (await line.reader.readline()).startswith(b"event: message_stop"):
            pass
        last = loop.time() - begun

    assert first >= 0.19
    assert last >= 0.39


async def test_no_more_are_in_flight_than_allowed() -> None:
    statuses: list[int] = []

    async def one(number: int) -> None:
        statuses.append((await ask(server, question(number))).status)

    async with MockServer(ServerSettings(concurrency_limit=3, latency_s=0.3)) as server:
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(one, number)

        assert sorted(statuses) == [200] * 3 + [529] * 7
        assert (server.stats["rate_limited"], server.stats["in_flight"]) == ({"concurrency": 7}, 0)


async def test_a_rate_limit_is_enforced_and_its_wait_is_enough() -> None:
    async with MockServer(ServerSettings(requests_per_minute=60, burst_s=2)) as server:
        answers = [await ask(server, question(number)) for number in range(3)]
        wait_s = float(answers[2].headers["retry-after"])
        await anyio.sleep(wait_s)
        after = await ask(server)

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].error[0] == "rate_limit_error"
    assert wait_s == 1
    assert after.status == 200


async def test_a_steady_load_gets_the_rate_that_is_allowed_and_no_more() -> None:
    """3,000 a minute are 50 a second, on top of the tenth of a second that was saved up."""
    async with MockServer(ServerSettings(requests_per_minute=3000, burst_s=0.1)) as server, connect(server) as line:
        loop = asyncio.get_running_loop()
        begun, passed = loop.time(), 0
        while (elapsed := loop.time() - begun) < 0.5:
            await line.send(post())
            passed += (await line.answer()).status == 200

    assert passed <= 5 + elapsed * 50 + 1
    assert passed > 5


async def test_each_answer_tells_what_is_left() -> None:
    async with MockServer(ServerSettings(requests_per_minute=100, input_tokens_per_minute=1000)) as server:
        first, second = [await ask(server) for _ in range(2)]

    prefix = "anthropic-ratelimit-requests"
    assert [answer.headers[f"{prefix}-remaining"] for answer in (first, second)] == ["99", "98"]
    tokens = "anthropic-ratelimit-input-tokens-remaining"
    assert int(second.headers[tokens]) < int(first.headers[tokens]) < 1000


async def test_nothing_is_open_when_the_server_is_gone() -> None:
    server = MockServer(ServerSettings(faults={"hang": 1.0}))
    async with server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(post())
        await until(lambda: server.stats["in_flight"] == 1)
    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    with pytest.raises(OSError, match="onnect"):
        await asyncio.open_connection("127.0.0.1", server.port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_an_address_that_others_reach_must_be_allowed(host: str) -> None:
    with pytest.raises(UsageError, match="other machines"):
        MockServer(ServerSettings(host=host))


async def test_an_address_that_others_reach_can_be_allowed() -> None:
    async with MockServer(ServerSettings(host="0.0.0.0", allow_remote=True)) as server:
        assert (await ask(server)).status == 200


async def test_a_port_that_is_taken_is_said() -> None:
    async with MockServer() as first:
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{first.port}"):
            async with MockServer(ServerSettings(port=first.port)):
                pass


def test_two_runs_say_the_same() -> None:
    async def run() -> list[bytes]:
        async with MockServer(ServerSettings(seed=1, faults={"429": 0.3})) as server:
            return [(await ask(server, question(number))).body for number in range(30)]

    assert asyncio.run(run()) == asyncio.run(run())


def test_another_seed_says_something_else() -> None:
    async def run(seed: int) -> list[int]:
        async with MockServer(ServerSettings(seed=seed, faults={"429": 0.5})) as server:
            return [(await ask(server, question(number))).status for number in range(30)]

    assert asyncio.run(run(1)) != asyncio.run(run(2))


async def test_what_is_read_from_the_cache_takes_nothing_from_the_limit_of_input_tokens() -> None:
    marked = {"type": "text", "text": "word " * 5000, "cache_control": {"type": "ephemeral"}}
    async with MockServer(ServerSettings(input_tokens_per_minute=6600, burst_s=60.0)) as server:
        statuses = [(await ask(server, {**ASKED, "system": [marked]})).status for _ in range(3)]
        without = await ask(server, {**ASKED, "system": [{"type": "text", "text": "word " * 5000}]})

    assert statuses == [200, 200, 200]
    assert without.status == 429
