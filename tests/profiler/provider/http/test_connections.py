"""How bytes travel: every form of HTTP, what breaks, proxies and certificates; on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trustme

from profiler.core.errors import CallError, UsageError
from profiler.provider.http.proxy import proxy_for
from profiler.provider.open import open_client
from tests.profiler.provider.asked_over import ALL_LANES, LANES, answered, asking, experiment, failed, request_for
from tests.profiler.provider.loopback import KEY, MESSAGE, Say, error, hang, http, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from profiler.core.nouns import Reply
    from profiler.provider.open import Lane


@pytest.fixture(autouse=True)
def no_proxy_but_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


async def ask(lane: Lane, url: str, **environ: str) -> Reply:
    asked = experiment(url)
    async with open_client(asked, mode="live", lane=lane, environ={"ANTHROPIC_API_KEY": KEY, **environ}) as client:
        return await client.complete(request_for(asked))


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("lane", LANES)
async def test_a_certificate_of_ones_own_authority_is_trusted(lane: Lane, tls: ssl.SSLContext) -> None:
    async with serving(lambda _: http(200, MESSAGE), tls=tls) as server:
        assert (await ask(lane, server.url)).completion == "Paris."


@pytest.mark.parametrize("lane", LANES)
async def test_a_certificate_of_an_unknown_authority_gets_no_key(lane: Lane, tls: ssl.SSLContext) -> None:
    async with serving(lambda _: http(200, MESSAGE), tls=tls) as server:
        with pytest.raises(CallError, match="certificate") as caught:
            await ask(lane, server.url)

    assert (caught.value.kind, caught.value.retryable, server.asked) == ("connection", True, [])


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_for_another_name_gets_no_key(tls: ssl.SSLContext) -> None:
    async with serving(lambda _: http(200, MESSAGE), tls=tls) as server:
        with pytest.raises(CallError, match="certificate"):
            await ask("fast", server.url.replace("localhost", "127.0.0.1"))

    assert server.asked == []


@pytest.mark.parametrize("lane", LANES)
async def test_a_plain_call_goes_through_the_proxy(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(lambda _: http(200, MESSAGE)) as proxy:
        url = f"http://me:word@127.0.0.1:{proxy.port}"
        monkeypatch.setenv("HTTP_PROXY", url)
        await ask(lane, "http://api.nowhere.invalid", HTTP_PROXY=url)

    assert proxy.asked[0].head == "POST http://api.nowhere.invalid/v1/messages HTTP/1.1"
    assert proxy.asked[0].headers["proxy-authorization"] == "Basic bWU6d29yZA=="


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("lane", LANES)
async def test_a_secure_call_goes_through_a_tunnel(
    lane: Lane, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(lambda _: http(200, MESSAGE), tls=tls) as server, tunnelling() as (port, asked):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        reply = await ask(lane, server.url, HTTPS_PROXY=f"http://127.0.0.1:{port}")

    assert reply.completion == "Paris."
    assert asked == [f"CONNECT localhost:{server.port} HTTP/1.1"]


async def test_a_proxy_that_refuses_is_a_failure_that_may_pass() -> None:
    async with serving(lambda _: Say(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")) as proxy:
        with pytest.raises(CallError, match=r"the proxy refused: HTTP/1\.1 407") as caught:
            await ask("fast", "https://api.nowhere.invalid", HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}")

    assert (caught.value.kind, caught.value.retryable) == ("connection", True)


async def test_the_proxy_is_told_without_its_password() -> None:
    environ = {"ANTHROPIC_API_KEY": KEY, "HTTPS_PROXY": "http://me:word@proxy.test:3128"}
    asked = experiment("https://api.anthropic.com")
    async with open_client(asked, mode="live", environ=environ) as client:
        told = client.describes  # type: ignore[attr-defined]

    assert told == "https://api.anthropic.com through the proxy http://proxy.test:3128 (HTTPS_PROXY), fast lane"


@pytest.mark.parametrize(
    ("environ", "host"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://a:1"}, "a"),
        ({"https_proxy": "http://b", "HTTPS_PROXY": "http://a:1"}, "b"),
        ({"ALL_PROXY": "c:3"}, "c"),
        ({"HTTP_PROXY": "http://d"}, None),
        ({"HTTPS_PROXY": "http://a", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://a", "NO_PROXY": "x.test, .example.com"}, None),
        ({"HTTPS_PROXY": "http://a", "no_proxy": "api.example.com"}, None),
        ({"HTTPS_PROXY": "http://a", "NO_PROXY": "api.example.com:8443"}, None),
        ({"HTTPS_PROXY": "http://a", "NO_PROXY": "example.org,ample.com"}, "a"),
    ],
)
def test_the_environment_chooses_the_proxy(environ: dict[str, str], host: str | None) -> None:
    found = proxy_for("https://api.example.com:8443/v1", environ)

    assert (found.host if found is not None else None) == host


@pytest.mark.parametrize("url", ["socks5://a:1", "https://a:1", "http://"])
def test_a_proxy_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="HTTPS_PROXY: found a proxy of the kind"):
        proxy_for("https://api.example.com", {"HTTPS_PROXY": url})


@asynccontextmanager
async def tunnelling() -> AsyncIterator[tuple[int, list[str]]]:
    """A proxy that does what CONNECT asks."""
    asked: list[str] = []
    loop = asyncio.get_running_loop()

    class Pipe(asyncio.Protocol):
        """One end; what it receives goes out at the other."""

        def __init__(self, other: Any = None) -> None:
            self.other = other
            self.transport: Any = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            if self.other is not None:
                self.other.write(data)
                return
            head = data.decode()
            asked.append(head.partition("\r\n")[0])
            opening.append(loop.create_task(self.open(head.split()[1])))

        async def open(self, where: str) -> None:
            host, _, port = where.rpartition(":")
            self.other, _ = await loop.create_connection(lambda: Pipe(self.transport), host, int(port))
            self.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        def connection_lost(self, _: Exception | None) -> None:
            if self.other is not None:
                self.other.close()

    opening: list[asyncio.Task[None]] = []
    listener = await loop.create_server(Pipe, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1], asked
    finally:
        listener.close()


BROKEN = {
    "reset": Say(b"", "reset"),
    "closed": Say(b"", "close"),
    "half a head": Say(b"HTTP/1.1 200 OK\r\ncontent-", "close"),
    "half of its lines": Say(b"HTTP/1.1 200 OK\r\nserver: x\r\ncontent-type: application/json\r\ndate: ", "close"),
    "half a body": Say(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n" + json.dumps(MESSAGE).encode(), "close"),
    "half a chunk": Say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{", "close"),
    "another protocol": Say(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "close"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("lane", LANES)
async def test_a_broken_connection_is_a_failure_that_may_pass(lane: Lane, case: str) -> None:
    async with serving(lambda _: BROKEN[case]) as server:
        found = await failed(lane, server)

    assert (found.kind, found.retryable, found.fatal, found.status) == ("connection", True, False, None)


async def test_a_reply_beyond_the_cap_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.provider.http.connection.LARGEST_REPLY", 1 << 20)
    async with serving(lambda _: http(200, b"x" * (2 << 20))) as server:
        found = await failed("fast", server)

    assert (found.kind, found.retryable) == ("too_large_reply", False)


HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"


@pytest.mark.parametrize("before", [b"", HINTS], ids=["first", "after hints"])
async def test_headers_without_an_end_are_cut_off(before: bytes) -> None:
    lines = b"".join(b"x-%d: y\r\n" % number for number in range(40_000))
    async with serving(lambda _: Say(before + b"HTTP/1.1 200 OK\r\n" + lines)) as server:
        found = await failed("fast", server)

    assert (found.kind, found.retryable) == ("too_large_reply", False)
    assert "headers" in found.message


async def test_a_packed_reply_beyond_the_cap_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.provider.http.connection.LARGEST_REPLY", 1 << 20)
    async with serving(lambda _: http(200, gzip.compress(b"x" * (2 << 20)), content_encoding="gzip")) as server:
        assert (await failed("fast", server)).kind == "too_large_reply"


@pytest.mark.parametrize("lane", LANES)
async def test_a_reply_that_came_packed_is_unpacked(lane: Lane) -> None:
    packed = gzip.compress(json.dumps(MESSAGE).encode())
    async with serving(lambda _: http(200, packed, content_encoding="gzip")) as server:
        assert (await answered(lane, server)).completion == "Paris."


CHUNKS = b"".join(b"%x\r\n%b\r\n" % (1, bytes([byte])) for byte in json.dumps(MESSAGE).encode()) + b"0\r\n\r\n"
FORMS = {
    "byte by byte": Say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS),
    "until the end": Say(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + json.dumps(MESSAGE).encode(), "close"),
    "after early hints": Say(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + http(200, MESSAGE).data),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lane", LANES)
async def test_every_form_of_http_is_read(lane: Lane, form: str) -> None:
    async with serving(lambda _: FORMS[form]) as server:
        assert (await answered(lane, server)).completion == "Paris."


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_a_call_that_is_cancelled_leaves_no_connection(lane: Lane) -> None:
    async with serving(hang) as server, asking(lane, server.url) as (client, request):
        async with anyio.create_task_group() as calls:
            for _ in range(20):
                calls.start_soon(client.complete, request)
            await server.until(lambda: len(server.asked) == 20)
            calls.cancel_scope.cancel()
        with anyio.fail_after(60):
            await server.until(lambda: server.open == 0)


@pytest.mark.parametrize("lane", LANES)
async def test_a_closed_client_leaves_no_connection(lane: Lane) -> None:
    async with serving(lambda _: http(200, MESSAGE)) as server:
        await answered(lane, server)
        with anyio.fail_after(60):
            await server.until(lambda: server.open == 0)


@pytest.mark.parametrize("lane", LANES)
async def test_a_connection_serves_many_calls(lane: Lane) -> None:
    async with serving(lambda _: http(200, MESSAGE)) as server, asking(lane, server.url) as (client, request):
        for _ in range(5):
            await client.complete(request)

        assert server.accepted == 1


async def test_a_connection_reads_replies_of_every_form_one_after_the_other() -> None:
    packed = gzip.compress(json.dumps(MESSAGE).encode())
    forms = [
        http(200, MESSAGE, retry_after="9"),
        FORMS["byte by byte"],
        http(200, packed, content_encoding="gzip", request_id="req_2"),
        FORMS["after early hints"],
        error(429),
        http(200, MESSAGE, request_id="", Request_Id="req_3"),
    ]
    said = iter(forms)
    found: list[str | None] = []
    async with serving(lambda _: next(said)) as server, asking("fast", server.url) as (client, request):
        for _ in forms:
            try:
                reply = await client.complete(request)
            except CallError as failed:
                found.append(f"{failed.request_id} after {failed.retry_after_s}")
            else:
                assert reply.completion == "Paris."
                found.append(reply.request_id)

        assert server.accepted == 1

    assert found == ["req_1", None, "req_2", "req_1", "req_1 after None", "req_3"]


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    closing = Say(http(200, MESSAGE).data, "close")
    async with serving(lambda _: closing) as server, asking("fast", server.url) as (client, request):
        await client.complete(request)
        await server.until(lambda: server.open == 0)
        await anyio.wait_all_tasks_blocked()

        assert (await client.complete(request)).completion == "Paris."
