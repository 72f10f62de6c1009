"""Pages of a browser, and others beyond this machine, learn only what they may."""

from __future__ import annotations

import pytest

from profiler.provider.mock_server.server import MockServer
from profiler.provider.mock_server.settings import ServerSettings
from tests.profiler.provider.mock_server.raw import HEADERS, ask, connect, get


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"host": "evil.example:80"},
    ],
)
@pytest.mark.parametrize("path", ["/__stats", "/__requests"])
async def test_a_page_of_a_browser_learns_nothing(path: str, headers: dict[str, str]) -> None:
    async with MockServer(ServerSettings(cors=["*"])) as server, connect(server) as line:
        fields = "".join(f"{name}: {value}\r\n" for name, value in {"host": "localhost", **headers}.items())
        await line.send(f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode())
        answer = await line.answer()

    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_beyond_this_machine_only_who_has_the_key_may_ask() -> None:
    far = ServerSettings(host="0.0.0.0", allow_remote=True, key="secret")
    async with MockServer(far) as server:
        answers = [
            (await get(server, "/__stats", **headers)).status
            for headers in ({}, {"x-api-key": "wrong"}, {"x-api-key": "secret"}, {"authorization": "Bearer secret"})
        ]
    async with MockServer(ServerSettings(host="0.0.0.0", allow_remote=True)) as server:
        without = (await get(server, "/__requests", **{"x-api-key": "any"})).status

    assert answers == [401, 401, 200, 200]
    assert without == 403


async def test_a_page_of_an_allowed_origin_may_ask_for_messages() -> None:
    origin = "http://localhost:5173"
    preflight = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key",
    }
    async with MockServer(ServerSettings(cors=[origin])) as server:
        first = await ask(server, b"", method="OPTIONS", headers=preflight)
        answer = await ask(server, headers={**HEADERS, "origin": origin})
        refused = await ask(server, headers={**HEADERS, "origin": "http://evil.example"})
        error = await ask(server, b"{", headers={**HEADERS, "origin": origin})

    assert first.headers["access-control-allow-headers"] == "x-api-key"
    assert [each.headers.get("access-control-allow-origin") for each in (first, answer, refused, error)] == [
        *(origin, origin, None, origin),
    ]
    assert "request-id" in answer.headers["access-control-expose-headers"]


async def test_without_an_allowed_origin_nothing_is_said_of_origins() -> None:
    async with MockServer() as server:
        answer = await ask(server, headers={**HEADERS, "origin": "http://localhost"})
        preflight = await ask(server, b"", method="OPTIONS", headers={"origin": "http://localhost"})

    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert preflight.status == 405
