"""What the live clients make of a provider: all lanes must see the same in the same bytes."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from profiler.core.errors import CallError, UsageError
from profiler.core.nouns import Dialogue, Limit, RateHeaders
from profiler.manifest.settings import Experiment
from profiler.provider.open import open_client
from profiler.provider.requests import API_VERSION, Planner, params_of
from tests.profiler.provider.loopback import KEY, MESSAGE, Say, error, http, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from profiler.core.nouns import Reply, Request
    from profiler.provider.client import Client
    from profiler.provider.open import Lane
    from tests.profiler.provider.loopback import Asked, Server

LANES: tuple[Lane, ...] = ("fast", "sdk")
STREAMS: tuple[Lane, ...] = ("stream", "sdk-stream")
ALL_LANES: tuple[Lane, ...] = (*LANES, *STREAMS)


def experiment(url: str, **settings: Any) -> Experiment:
    given = {"experiment_id": "e", "model": "claude-haiku-4-5", "max_tokens": 64, "dataset_path": Path("d.json")}
    return Experiment(**{**given, "base_url": url, **settings})


def request_for(asked: Experiment, **dialogue: Any) -> Request:
    planner = Planner(params_of(asked), system=asked.system)
    return planner.request(0, Dialogue(**({"dialogue_id": "d", "user": "Capital of France?"} | dialogue)))


@asynccontextmanager
async def asking(lane: Lane, url: str, **settings: Any) -> AsyncIterator[tuple[Client, Request]]:
    asked = experiment(url, **settings)
    async with open_client(asked, mode="live", lane=lane, environ={"ANTHROPIC_API_KEY": KEY}) as client:
        yield client, request_for(asked)


async def answered(lane: Lane, server: Server, **settings: Any) -> Reply:
    async with asking(lane, server.url, **settings) as (client, request):
        return await client.complete(request)


async def failed(lane: Lane, server: Server) -> CallError:
    with pytest.raises(CallError) as caught:
        await answered(lane, server)
    return caught.value


def events(*content: dict[str, Any], cut: bool = False, **more: Any) -> Say:
    """A message as server-sent events, the text in two pieces."""
    message = {**MESSAGE, "content": [], "stop_reason": None, "usage": {"input_tokens": 12, "output_tokens": 1}}
    told: list[dict[str, Any]] = [{"type": "message_start", "message": message}, {"type": "ping"}]
    for index, block in enumerate(content):
        if block["type"] != "text":
            told.append({"type": "content_block_start", "index": index, "content_block": block})
            continue
        told.append({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}})
        half = len(block["text"]) // 2
        told += [
            {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": piece}}
            for piece in (block["text"][:half], block["text"][half:])
        ]
        told.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": "end_turn", "stop_sequence": None} | more
    if not cut:
        told.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 3}})
        told.append({"type": "message_stop"})
    return stream_of(*told)


def stream_of(*told: dict[str, Any]) -> Say:
    data = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in told).encode()
    return http(200, data, content_type="text/event-stream")


def as_asked(lane: Lane, **more: Any) -> Say:
    """The same message in the form that a lane reads."""
    message = {**MESSAGE, "usage": {"input_tokens": 12, "output_tokens": 3}} | more
    stop = {name: more[name] for name in ("stop_reason", "stop_details", "stop_sequence") if name in more}
    return events(*message["content"], **stop) if lane in STREAMS else http(200, message)


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_a_reply_is_the_same_over_every_lane(lane: Lane) -> None:
    async with serving(lambda _: as_asked(lane)) as server:
        reply = await answered(lane, server)

    assert (reply.completion, reply.stop_reason, reply.model, reply.request_id, reply.usage, reply.latency_s) == (
        "Paris.",
        "end_turn",
        "claude-haiku-4-5",
        "req_1",
        {"input_tokens": 12, "output_tokens": 3},
        None,
    )


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_text_blocks_are_joined_and_thinking_is_left_out(lane: Lane) -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Par"},
        {"type": "tool_use", "id": "t", "name": "look_up", "input": {}},
        {"type": "text", "text": "is."},
    ]
    async with serving(lambda _: as_asked(lane, content=content, stop_reason="tool_use")) as server:
        reply = await answered(lane, server)

    assert (reply.completion, reply.metadata["tools"]) == ("Paris.", ["look_up"])


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_a_refusal_keeps_its_category(lane: Lane) -> None:
    details = {"type": "refusal", "category": "bio", "explanation": None}
    async with serving(lambda _: as_asked(lane, stop_reason="refusal", stop_details=details)) as server:
        reply = await answered(lane, server)

    assert (reply.stop_reason, reply.metadata["stop_details"]) == ("refusal", details)


@pytest.mark.parametrize("lane", LANES)
async def test_usage_is_kept_as_it_was_said(lane: Lane) -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "cache_creation": {"ephemeral_5m_input_tokens": 7}, "new": [1]}
    async with serving(lambda _: http(200, {**MESSAGE, "usage": usage})) as server:
        assert (await answered(lane, server)).usage == usage


@pytest.mark.parametrize("lane", STREAMS)
async def test_a_streamed_reply_says_when_its_parts_came(lane: Lane) -> None:
    async with serving(lambda _: events(MESSAGE["content"][0])) as server:
        reply = await answered(lane, server)

    assert reply.ttft_s is not None
    assert reply.ttft_s > 0
    assert [gap >= 0 for gap in reply.gaps_s] == [True]


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
async def test_a_reply_of_ten_megabytes_is_read(lane: Lane) -> None:
    text = "x" * 10_000_000
    async with serving(lambda _: http(200, {**MESSAGE, "content": [{"type": "text", "text": text}]})) as server:
        assert len((await answered(lane, server)).completion) == 10_000_000


@pytest.mark.parametrize("lane", LANES)
async def test_a_redirect_is_not_followed_with_the_key(lane: Lane) -> None:
    async with serving(lambda _: http(307, b"", location="http://127.0.0.1:1/elsewhere")) as server:
        found = await failed(lane, server)

    assert (found.kind, found.status, found.retryable) == ("bad_reply", 307, False)


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_rate_limits_are_read_from_a_reply_and_from_a_refusal(lane: Lane) -> None:
    told = {
        "anthropic_ratelimit_requests_limit": "50",
        "anthropic_ratelimit_requests_remaining": "49",
        "anthropic_ratelimit_requests_reset": "2026-11-21T00:00:10Z",
        "anthropic_ratelimit_output_tokens_limit": "8000",
        "anthropic_ratelimit_output_tokens_remaining": "nonsense",
    }
    async with serving(lambda _: error(429, **told)) as server:
        limits = (await failed(lane, server)).limits

    assert limits == RateHeaders(requests=Limit(50, 49))


@pytest.mark.parametrize("lane", LANES)
async def test_a_reply_carries_its_rate_limits(lane: Lane) -> None:
    told = {"anthropic_ratelimit_input_tokens_limit": "90", "anthropic_ratelimit_input_tokens_remaining": "9"}
    async with serving(lambda _: http(200, MESSAGE, **told)) as server:
        assert (await answered(lane, server)).limits == RateHeaders(input_tokens=Limit(90, 9))


EVERYTHING: dict[str, Any] = {
    "system": "Be brief.",
    "stop_sequences": ("END",),
    "thinking": {"type": "adaptive"},
    "effort": "high",
    "temperature": 0.5,
    "top_k": 3,
}


async def sent(lane: Lane, **settings: Any) -> Asked:
    async with serving(lambda _: as_asked(lane)) as server:
        await answered(lane, server, **settings)
        return server.asked[0]


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_every_lane_sends_the_same_body(lane: Lane) -> None:
    body = json.loads((await sent(lane, **EVERYTHING)).body)
    body.pop("stream", None)

    assert body == json.loads(request_for(experiment("http://x", **EVERYTHING)).body)


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_sampling_parameters_pin_the_version_that_takes_them(lane: Lane) -> None:
    assert (await sent(lane, temperature=0.5)).headers["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_without_sampling_parameters_the_version_is_the_pinned_one(lane: Lane) -> None:
    assert (await sent(lane)).headers["anthropic-version"] == API_VERSION


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_every_lane_shows_the_key_in_the_same_way(lane: Lane) -> None:
    asked = await sent(lane)

    assert (asked.head.split()[1], asked.headers["authorization"]) == ("/v1/messages", f"Bearer {KEY}")


async def test_the_fast_lane_does_not_pass_for_the_sdk() -> None:
    headers = (await sent("fast")).headers

    assert headers["user-agent"].startswith("experiment-profiler/")
    assert not [name for name in headers if name.startswith("x-stainless")]


def open_files() -> set[str]:
    """What this process holds open. Sockets and pipes are named by their number in the kernel, which is never the same twice."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the folder that is being listed, and what the collector closes meanwhile
            found.add(str(link.readlink()))
    return found


async def test_ten_thousand_failing_calls_leave_nothing_open() -> None:
    said = [error(500), Say(b"", "reset"), http(200, b"<html>"), error(429), Say(b"HTTP/1.1 200 OK\r\n", "close")]

    def answer(_: Asked) -> Say:
        return said[len(server.asked) % len(said)]

    async def ask() -> None:
        for _ in range(100):
            with pytest.raises(CallError):
                await client.complete(request)

    async with serving(answer) as server:
        files_before = open_files()
        async with asking("fast", server.url) as (client, request), anyio.create_task_group() as calls:
            for _ in range(100):
                calls.start_soon(ask)
        await server.until(lambda: server.open == 0)

        assert len(server.asked) == 10_000
        assert not open_files() - files_before


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_the_key_is_in_no_message(lane: Lane) -> None:
    async with serving(lambda asked: error(401, message=f"wrong: {asked.headers['authorization']}")) as server:
        found = await failed(lane, server)

    assert KEY not in f"{found} {found.message} {found!r}"
    assert "[redacted]" in found.message


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_the_key_is_not_in_what_a_client_says_of_itself(lane: Lane) -> None:
    async with asking(lane, f"http://user:{KEY}@127.0.0.1:1") as (client, _):
        assert KEY not in f"{client!r} {vars(client)} {client.describes}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_without_a_key_a_live_run_says_what_to_do(lane: Lane) -> None:
    with pytest.raises(UsageError, match="live mode needs ANTHROPIC_API_KEY") as caught:
        async with open_client(experiment("http://x"), mode="live", lane=lane, environ={}):
            pass

    assert "--mode mock" in (caught.value.hint or "")


async def test_the_base_url_comes_from_the_environment() -> None:
    asked = experiment("http://x")
    async with serving(lambda _: http(200, MESSAGE)) as server:
        environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": f"{server.url}/deep"}
        from_environment = Experiment(
            **{name: getattr(asked, name) for name in ("experiment_id", "model", "max_tokens", "dataset_path")}
        )
        async with open_client(from_environment, mode="live", environ=environ) as client:
            await client.complete(request_for(asked))

            assert server.url in client.describes  # type: ignore[attr-defined]
        assert server.asked[0].head.split()[1] == "/deep/v1/messages"


async def test_another_provider_goes_through_the_sdk() -> None:
    asked = experiment("http://127.0.0.1:1", provider="foundry")
    with pytest.raises(UsageError, match="reached through the SDK only"):
        async with open_client(asked, mode="live", lane="fast", environ={}):
            pass


async def test_a_provider_of_ones_own_is_asked_with_its_own_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_FOUNDRY_API_KEY", "foundry-key")
    async with serving(lambda _: http(200, MESSAGE)) as server:
        asked = experiment(server.url, provider="foundry")
        async with open_client(asked, mode="live", environ={}) as client:
            reply = await client.complete(request_for(asked))

    assert reply.completion == "Paris."
    assert "foundry-key" in server.asked[0].headers.values()


async def test_a_provider_without_credentials_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_FOUNDRY_API_KEY", raising=False)
    with pytest.raises(UsageError, match="provider: cannot use foundry"):
        async with open_client(experiment("http://127.0.0.1:1", provider="foundry"), mode="live", environ={}):
            pass


@pytest.mark.parametrize("url", ["127.0.0.1:8089", "ftp://host", "http://host:port", "http://[::1", "https://"])
@pytest.mark.parametrize("lane", ALL_LANES)
async def test_an_address_that_is_none_is_said_before_anything_is_asked(lane: Lane, url: str) -> None:
    asked = Experiment(experiment_id="e", model="m", max_tokens=1, dataset_path=Path("d.json"))
    environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url}
    with pytest.raises(UsageError, match=r"ANTHROPIC_BASE_URL: found .* expected an address such as"):
        async with open_client(asked, mode="live", lane=lane, environ=environ):
            pass


async def test_a_password_in_an_address_that_is_none_is_not_shown() -> None:
    environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "user:hush@host"}
    asked = Experiment(experiment_id="e", model="m", max_tokens=1, dataset_path=Path("d.json"))
    with pytest.raises(UsageError, match="ANTHROPIC_BASE_URL: found something else") as caught:
        async with open_client(asked, mode="live", environ=environ):
            pass

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["http://host:port", "http://[::1"])
@pytest.mark.parametrize("lane", ALL_LANES)
async def test_a_proxy_that_is_none_is_said_before_anything_is_asked(
    lane: Lane, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    environ = {"ANTHROPIC_API_KEY": KEY, "HTTP_PROXY": proxy}
    with pytest.raises(UsageError, match="proxy"):
        async with open_client(experiment("http://example.invalid"), mode="live", lane=lane, environ=environ):
            pass
