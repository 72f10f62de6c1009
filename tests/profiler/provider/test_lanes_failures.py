"""What went wrong means the same over every lane, and shows no key."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from profiler.core.errors import CallError
from tests.profiler.provider.asked_over import ALL_LANES, LANES, STREAMS, answered, asking, events, failed, stream_of
from tests.profiler.provider.loopback import KEY, MESSAGE, Say, error, http, serving

if TYPE_CHECKING:
    from profiler.provider.open import Lane
    from tests.profiler.provider.loopback import Asked

STATUSES = {
    400: ("invalid_request", False, False),
    401: ("authentication", False, True),
    402: ("billing", False, True),
    403: ("permission", False, True),
    404: ("not_found", False, False),
    408: ("timeout", True, False),
    409: ("conflict", True, False),
    413: ("request_too_large", False, False),
    418: ("invalid_request", False, False),
    422: ("unprocessable", False, False),
    429: ("rate_limited", True, False),
    500: ("server_error", True, False),
    502: ("server_error", True, False),
    503: ("server_error", True, False),
    504: ("server_error", True, False),
    529: ("overloaded", True, False),
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("lane", ALL_LANES)
async def test_a_status_means_the_same_over_every_lane(lane: Lane, status: int) -> None:
    async with serving(lambda _: error(status, retry_after="7")) as server:
        found = await failed(lane, server)

    assert (found.kind, found.retryable, found.fatal) == STATUSES[status]
    assert (found.status, found.message, found.request_id, found.retry_after_s) == (status, "as asked", "req_1", 7.0)


@pytest.mark.parametrize(
    ("code", "kind", "fatal", "ramp"),
    [
        ("contract_spend_limit_reached", "spend_limit", True, False),
        ("enforced_spend_limit_reached", "spend_limit", True, False),
        ("linked_organization_spend_limit_reached", "spend_limit", True, False),
        ("ramp_limit_exceeded", "rate_limited", False, True),
        ("something_new", "rate_limited", False, False),
    ],
)
@pytest.mark.parametrize("lane", ALL_LANES)
async def test_an_error_code_says_what_a_429_means(
    lane: Lane, code: str, kind: str, *, fatal: bool, ramp: bool
) -> None:
    said = {"error": {"type": "rate_limit_error", "message": "m", "details": {"error_code": code}}}
    async with serving(lambda _: http(429, said)) as server:
        found = await failed(lane, server)

    assert (found.kind, found.fatal, found.ramp, found.retryable) == (kind, fatal, ramp, not fatal)


@pytest.mark.parametrize("lane", LANES)
async def test_an_error_page_is_told_without_its_tags(lane: Lane) -> None:
    page = b"<html><style>p {}</style><h1>Bad gateway</h1>\n<p>nginx</p></html>"
    async with serving(lambda _: http(502, page, content_type="text/html")) as server:
        found = await failed(lane, server)

    assert (found.kind, found.message) == ("server_error", "502 Bad Gateway: Bad gateway nginx")


NO_MESSAGES = {
    "html": (http(200, b"<html>log in</html>", content_type="text/html"), True),
    "not json": (http(200, b'{"id": '), True),
    "not utf-8": (http(200, b'{"model": "\xff"}'), False),
    "not utf-8 and cut off": (http(200, b'{"model": "\xff'), True),
    "empty": (http(200, b""), True),
    "deep": (http(200, b'{"usage": {"a": ' + b"[" * 100_000), True),
    "a list": (http(200, b"[]"), False),
    "no content": (http(200, {k: v for k, v in MESSAGE.items() if k != "content"}), False),
    "no model": (http(200, {k: v for k, v in MESSAGE.items() if k != "model"}), False),
    "another type": (http(200, {**MESSAGE, "type": "completion"}), False),
    "text is null": (http(200, {**MESSAGE, "content": [{"type": "text", "text": None}]}), False),
}


@pytest.mark.parametrize("case", NO_MESSAGES)
@pytest.mark.parametrize("lane", LANES)
async def test_a_200_that_is_no_message_is_a_bad_reply(lane: Lane, case: str) -> None:
    said, may_pass = NO_MESSAGES[case]
    async with serving(lambda _: said) as server:
        found = await failed(lane, server)

    kind, again = ("nested_too_deep", False) if case == "deep" else ("bad_reply", may_pass)
    assert (found.kind, found.retryable, found.status, found.request_id) == (kind, again, 200, "req_1")


@pytest.mark.parametrize("lane", LANES)
async def test_an_error_inside_a_200_is_that_error(lane: Lane) -> None:
    said = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    async with serving(lambda _: http(200, said)) as server:
        found = await failed(lane, server)

    assert (found.kind, found.retryable, found.message) == ("overloaded", True, "busy")


@pytest.mark.parametrize("lane", LANES)
async def test_the_body_decides_not_its_content_type(lane: Lane) -> None:
    async with serving(lambda _: http(200, MESSAGE, content_type="text/plain")) as server:
        assert (await answered(lane, server)).completion == "Paris."


@pytest.mark.parametrize("lane", STREAMS)
async def test_an_error_within_a_stream_is_that_error(lane: Lane) -> None:
    said = stream_of({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})
    async with serving(lambda _: said) as server:
        found = await failed(lane, server)

    assert (found.kind, found.retryable, found.message) == ("overloaded", True, "busy")


@pytest.mark.parametrize("lane", STREAMS)
async def test_a_stream_that_ends_early_is_a_broken_connection(lane: Lane) -> None:
    async with serving(lambda _: events(MESSAGE["content"][0], cut=True)) as server:
        assert (await failed(lane, server)).kind == "connection"


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no-such-host.invalid"])
async def test_an_address_that_nobody_serves_is_a_failure_that_may_pass(lane: Lane, url: str) -> None:
    async with asking(lane, url) as (client, request):
        with pytest.raises(CallError) as caught:
            await client.complete(request)

    assert (caught.value.kind, caught.value.retryable, caught.value.sent) == ("connection", True, False)


@pytest.mark.parametrize("lane", LANES)
async def test_a_request_that_was_read_may_have_been_paid_for(lane: Lane) -> None:
    async with serving(lambda _: Say(b"", "reset")) as server:
        assert (await failed(lane, server)).sent


@pytest.mark.parametrize("lane", LANES)
async def test_a_redirect_is_not_followed_with_the_key(lane: Lane) -> None:
    async with serving(lambda _: http(307, b"", location="http://127.0.0.1:1/elsewhere")) as server:
        found = await failed(lane, server)

    assert (found.kind, found.status, found.retryable) == ("bad_reply", 307, False)


def open_files() -> set[str]:
    """What this process holds open. Sockets and pipes are named by their number in the kernel, which is never the same twice."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the folder that is being listed, and what the collector closes meanwhile
            found.add(str(link.readlink()))
    return found


async def test_two_thousand_failing_calls_leave_nothing_open() -> None:
    said = [error(500), Say(b"", "reset"), http(200, b"<html>"), error(429), Say(b"HTTP/1.1 200 OK\r\n", "close")]

    def answer(_: Asked) -> Say:
        return said[len(server.asked) % len(said)]

    async def ask() -> None:
        for _ in range(20):
            with pytest.raises(CallError):
                await client.complete(request)

    async with serving(answer) as server:
        files_before = open_files()
        async with asking("fast", server.url) as (client, request), anyio.create_task_group() as calls:
            for _ in range(100):
                calls.start_soon(ask)
        await server.until(lambda: server.open == 0)

        assert len(server.asked) == 2_000
        assert not open_files() - files_before


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_the_key_is_in_no_message(lane: Lane) -> None:
    async with serving(lambda asked: error(401, message=f"wrong: {asked.headers['authorization']}")) as server:
        found = await failed(lane, server)

    assert KEY not in f"{found} {found.message} {found!r}"
    assert "[redacted]" in found.message
