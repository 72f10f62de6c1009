"""What whoever runs the tests may see and change while the server runs, and who may not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from profiler.provider.mock_server.admission.fault_script import Subject
from profiler.provider.mock_server.admission.faults import Fault
from profiler.provider.mock_server.endpoints import ALL, BATCH_ITEM, NAMES
from profiler.provider.mock_server.server import MockServer
from profiler.provider.mock_server.settings import LimitRule, ServerSettings
from tests.profiler.provider.mock_server.raw import ASKED, HEADERS, Answer, ask, connect, get, post

BARE = {"content-type": "application/json"}


async def tell(server: MockServer, path: str, body: Any) -> Answer:
    return await ask(server, body, path=path, headers=BARE)


async def journal(server: MockServer, query: str = "") -> list[dict[str, Any]]:
    answer = await get(server, f"/__requests{query}")
    assert answer.headers["content-type"] == "application/jsonl"
    return [json.loads(line) for line in answer.body.splitlines()]


def question(text: str, **changes: Any) -> dict[str, Any]:
    return {**ASKED, "messages": [{"role": "user", "content": text}], **changes}


# the journal


async def test_the_journal_tells_what_was_really_sent_and_what_came_of_it() -> None:
    async with MockServer(ServerSettings(script=["429"])) as server:
        await ask(server, path="/v1/messages?beta=true", headers={**HEADERS, "x-own": "1"})
        await ask(server, b"no json")
        first, second = await journal(server)

    assert (first["method"], first["path"], first["query"], first["endpoint"]) == (
        *("POST", "/v1/messages", "beta=true", "messages"),
    )
    assert first["body"] == ASKED
    assert first["body_bytes"] == len(json.dumps(ASKED))
    assert (first["headers"]["x-own"], first["headers"]["anthropic-version"]) == ("1", "2026-10-21")
    assert (first["status"], first["fault"], first["whole"], first["request_id"]) == (429, "429", True, f"req_{1:024d}")
    assert (second["body"], second["status"], second["fault"]) == ("no json", 400, None)


async def test_credentials_are_never_kept() -> None:
    servers = [{"type": "url", "name": "x", "url": "https://example.org", "authorization_token": 'hid"den-4'}]
    headers = {**HEADERS, "x-api-key": "hidden-1", "authorization": "Bearer hidden-2", "cookie": "hidden-3"}
    headers |= {"api-key": "hidden-6", "x-goog-api-key": "hidden-7"}  # as clients of other clouds send it
    async with MockServer() as server:
        await ask(server, {**ASKED, "mcp_servers": servers}, headers=headers)
        await ask(server, {**ASKED, "system": "x" * (64 << 10), "z": [{"authorization_token": "hidden-5"}]})
        answer = await get(server, "/__requests")

    assert b"hid" not in answer.body
    assert answer.body.count(b"[not kept]") == 7


async def test_the_journal_can_be_filtered() -> None:
    async with MockServer() as server:
        for number in range(4):
            await ask(server, question(f"Number {number}", model="claude-opus-5" if number % 2 else "claude-haiku-4-5"))
        await get(server, "/v1/models", **HEADERS)
        await ask(server, b"{")
        counts = {
            query: len(await journal(server, query))
            for query in (
                *("", "?tail=2", "?since=4", "?endpoint=models", "?endpoint=models.list", "?method=GET"),
                *("?model=claude-opus-*", "?contains=Number%203", "?status=400", "?path=/v1/mod*", "?fault=429"),
                "?endpoint=messages&status=200&tail=3",
            )
        }

    assert list(counts.values()) == [6, 2, 2, 1, 1, 1, 2, 1, 1, 1, 0, 3]


@pytest.mark.parametrize("query", ["?nothing=1", "?tail=x", "?endpoint=message"])
async def test_a_filter_that_is_none_is_refused(query: str) -> None:
    async with MockServer() as server:
        assert (await get(server, f"/__requests{query}")).status == 400


async def test_a_request_that_waits_for_its_answer_is_in_the_journal_already() -> None:
    async with MockServer(ServerSettings(script=["hang", "ok"])) as server, connect(server) as line:
        await line.send(post())
        await ask(server)
        waiting, done = await journal(server)

    assert (waiting["status"], waiting["fault"], done["status"]) == (None, "hang", 200)


async def test_the_journal_keeps_the_newest_within_its_bound() -> None:
    async with MockServer(ServerSettings(journal_bytes=400_000)) as server:
        for number in range(40):
            await ask(server, question(str(number), system="x" * 30_000))
        kept = [line["n"] for line in await journal(server)]
        dropped = server.stats["journal"]["dropped"]

    assert kept == list(range(kept[0], 41))
    assert 4 <= len(kept) <= 14
    assert dropped == 40 - len(kept)


async def test_a_long_body_is_cut_and_said_to_be() -> None:
    async with MockServer() as server:
        await ask(server, question("a", system="x" * 100_000))
        (line,) = await journal(server)

    assert (line["body_cut"], len(line["body"]), line["body_bytes"] > 100_000) == (True, 64 << 10, True)


async def test_a_static_server_keeps_no_journal() -> None:
    async with MockServer(ServerSettings(static=True)) as server:
        await ask(server)
        assert await journal(server) == []


# what can be changed


async def test_faults_can_be_changed_and_come_back_with_a_reset() -> None:
    async with MockServer(ServerSettings(faults={"500": 1.0})) as server:
        changed = await tell(server, "/__faults", {"rates": {"529": 1}, "script": [{"fault": "429", "times": 1}]})
        seen = [(await ask(server)).status for _ in range(2)]
        await tell(server, "/__faults", {})
        seen.append((await ask(server)).status)
        await tell(server, "/__reset", {})
        seen.append((await ask(server)).status)

    assert changed.json["rates"] == {"529": 1.0}
    assert changed.json["script"][0]["fault"] == "429"
    assert seen == [429, 529, 200, 500]


async def test_limits_can_be_changed_and_come_back_with_a_reset() -> None:
    rule = {"model": "claude-haiku-*", "requests_per_minute": 1}
    async with MockServer(ServerSettings(requests_per_minute=100)) as server:
        assert (await get(server, "/__limits")).json["rules"][0]["requests_per_minute"] == 100
        told = await tell(server, "/__limits", {"rules": [rule], "burst_s": 1, "batch_queue": 5})
        seen = [(await ask(server)).status for _ in range(2)]
        await tell(server, "/__reset", {})
        seen.append((await ask(server)).status)

    assert (told.json["burst_s"], told.json["batch_queue"]) == (1.0, 5)
    assert seen == [200, 429, 200]


async def test_the_clock_moves_forward_and_fills_the_buckets() -> None:
    async with MockServer(ServerSettings(requests_per_minute=1)) as server:
        before = (await get(server, "/__clock")).json
        seen = [(await ask(server)).status for _ in range(2)]
        after = (await tell(server, "/__clock", {"advance_s": 86_400})).json
        seen.append((await ask(server)).status)

    assert (before["ahead_s"], after["ahead_s"]) == (0, 86_400)
    assert after["now"][:10] > before["now"][:10]
    assert seen == [200, 429, 200]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *(("/__clock", {"advance_s": -1}), ("/__clock", {}), ("/__clock", {"advance_s": 1e300}), ("/__clock", b"{")),
        *(("/__faults", {"rates": {"430": 1}}), ("/__faults", {"rates": {"429": 2}}), ("/__faults", {"rate": {}})),
        *(("/__faults", {"script": [{"endpoint": "batch", "fault": "429"}]}), ("/__faults", {"script": ["nothing"]})),
        *(("/__faults", {"rates": {"hang@batches.item": 1}}), ("/__faults", {"rates": {"results-torn@messages": 1}})),
        *(("/__limits", {"rules": [{"endpoint": "x", "requests_per_minute": 1}]}), ("/__limits", {"burst_s": 0})),
        ("/__faults", {"script": [{"headers": {"a b": "c"}}]}),
    ],
)
async def test_what_cannot_be_is_refused_and_changes_nothing(path: str, body: Any) -> None:
    async with MockServer() as server:
        before = [(await get(server, f"/__{name}")).json for name in ("faults", "limits")]
        answer = await tell(server, path, body)
        after = [(await get(server, f"/__{name}")).json for name in ("faults", "limits")]

    assert (answer.status, before == after) == (400, True)


async def test_what_is_not_there_is_said() -> None:
    async with MockServer() as server:
        assert (await get(server, "/__nothing")).status == 404
        assert (await get(server, "/__reset")).status == 405


async def test_a_reset_empties_journal_batches_and_files_and_sets_the_clock_back() -> None:
    batch = {"requests": [{"custom_id": "a", "params": ASKED}]}
    async with MockServer() as server:
        await ask(server, batch, path="/v1/messages/batches")
        await tell(server, "/__files?filename=a", b"x")
        await tell(server, "/__clock", {"advance_s": 10})
        await tell(server, "/__reset", {})
        assert await journal(server) == []
        for path in ("/v1/messages/batches", "/v1/files"):
            assert (await get(server, path, **HEADERS)).json["data"] == []
        assert (await get(server, "/__clock")).json["ahead_s"] == 0


# faults, limits and replies of a script, at every endpoint


REQUESTS: dict[str, tuple[str, str, Any]] = {
    endpoint.name: (endpoint.method, endpoint.path.replace("{id}", "none"), ASKED if "tokens" in endpoint.name else b"")
    for endpoint in ALL
}
REQUESTS["messages"] = ("POST", "/v1/messages", ASKED)


async def call(server: MockServer, name: str) -> Answer:
    method, path, body = REQUESTS[name]
    return await ask(server, body, path=path, method=method)


@pytest.mark.parametrize("name", REQUESTS)
async def test_every_endpoint_has_faults_limits_and_replies_of_its_own(name: str) -> None:
    script = [{"endpoint": name, "times": 1, "status": 418, "headers": {"x-own": "a"}, "body": {"own": True}}]
    rule = LimitRule(endpoint=name, requests_per_minute=3)
    settings = ServerSettings(script=script, faults={f"503@{name}": 1.0}, limits=[rule])
    async with MockServer(settings) as server:
        own = await call(server, name)
        others = [(await call(server, name)).status for _ in range(3)]
        (told,) = {key for key in own.headers if key.endswith("requests-limit")}
        (noted, *_) = await journal(server)
        untouched = await ask(server) if name != "messages" else await call(server, "models.list")

    assert (own.status, own.json, own.headers["x-own"], own.headers[told]) == (418, {"own": True}, "a", "3")
    assert others == [503, 503, 429]
    assert noted["endpoint"] == name
    assert untouched.status == 200


def test_every_name_of_an_endpoint_is_one_of_a_request_or_of_a_batch_item() -> None:
    assert {*REQUESTS, BATCH_ITEM} == set(NAMES)


async def test_a_rule_can_be_for_one_model() -> None:
    async with MockServer(ServerSettings(script=[{"model": "claude-opus-*", "fault": "529"}])) as server:
        seen = [
            (await ask(server, question("a", model=model))).status for model in ("claude-opus-5", "claude-sonnet-5")
        ]
        counting = await ask(server, {**ASKED, "model": "claude-opus-5"} | {"max_tokens": 5})

    assert seen == [529, 200]
    assert counting.status == 529


async def test_headers_alone_are_added_to_what_is_answered_anyway() -> None:
    async with MockServer(ServerSettings(script=[{"headers": {"x-own": "1", "content-length": "3"}}])) as server:
        answer = await ask(server)

    assert (answer.headers["x-own"], answer.json["type"]) == ("1", "message")


async def test_a_reply_of_text_is_sent_as_it_stands() -> None:
    own = {"status": 200, "headers": {"content-type": "text/html"}, "body": "<p>busy"}
    async with MockServer(ServerSettings(script=[own])) as server:
        answer = await ask(server)

    assert (answer.body, answer.headers["content-type"]) == (b"<p>busy", "text/html")


async def test_an_error_can_have_a_body_of_the_scripts_own() -> None:
    async with MockServer(ServerSettings(script=[{"fault": "529", "body": {"detail": "busy"}}])) as server:
        answer = await ask(server)

    assert (answer.status, answer.json) == (529, {"detail": "busy"})


def test_a_subject_without_a_model_fits_no_rule_for_one() -> None:
    from profiler.provider.mock_server.admission.fault_script import Faults  # noqa: PLC0415

    faults = Faults(rates={}, script=[Fault(fault="500", endpoint="*", model="*")])

    assert faults.next(Subject(endpoint="files.list", draw=0.5)).fault == "ok"
