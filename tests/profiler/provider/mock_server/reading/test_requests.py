"""What is accepted, what is refused in which words, and what is answered; over real connections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from profiler.core.nouns import Params
from profiler.dataset import file
from profiler.manifest.settings import MockSettings
from profiler.provider.mock import MockClient
from profiler.provider.mock_server.app import App
from profiler.provider.mock_server.server import MockServer
from profiler.provider.mock_server.settings import MAX_BODY, ServerSettings
from profiler.provider.mock_server.wire.request_parser import Parser
from profiler.provider.requests import Planner
from tests.profiler.provider.mock_server.raw import ASKED, HEADERS, Answer, ask, connect, post

ROOT = Path(__file__).resolve().parents[5]
DIALOGUES, RESPONSES = ROOT / "data" / "dialogues.json", ROOT / "data" / "mock_responses.json"
OLD = {**HEADERS, "anthropic-version": "2023-06-01"}


async def asked(body: Any = ASKED, *, settings: ServerSettings | None = None, **options: Any) -> Answer:
    async with MockServer(settings) as server:
        return await ask(server, body, **options)


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in HEADERS.items() if key != name}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "64"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0"),
        ({"system": 3}, "system"),
        ({"temprature": 1}, "temprature"),
        ({"temperature": 0.0}, "temperature"),
        ({"top_p": 0.5}, "top_p"),
        ({"top_k": 5}, "top_k"),
    ],
)
async def test_a_wrong_parameter_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    answer = await asked({**ASKED, **changes})

    assert (answer.status, answer.error[0]) == (400, "invalid_request_error")
    assert answer.error[1].startswith(named)


async def test_a_missing_parameter_is_named() -> None:
    answer = await asked({name: value for name, value in ASKED.items() if name != "max_tokens"})

    assert (answer.status, "max_tokens" in answer.error[1]) == (400, True)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"model": "\\ud800"}', b"[" * 100_000, b'{"model": NaN}'],
)
async def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    answer = await asked(body)

    assert (answer.status, answer.error[0]) == (400, "invalid_request_error")


@pytest.mark.parametrize("number", [b"9" * 400, b"1e400", b"-0"])
async def test_odd_numbers_inside_a_block_do_no_harm(number: bytes) -> None:
    block = b'{"type":"text","text":"hi","n":%b}' % number
    body = b'{"model":"claude-x","max_tokens":9,"messages":[{"role":"user","content":[%b]}]}' % block

    assert (await asked(body)).status in (200, 400)


@pytest.mark.parametrize(("name", "value"), [("temperature", 0.0), ("top_p", 1), ("top_k", 3)])
async def test_sampling_parameters_are_accepted_with_the_older_version(name: str, value: float) -> None:
    assert (await asked({**ASKED, name: value}, headers=OLD)).status == 200


async def test_a_missing_key_is_refused() -> None:
    answer = await asked(headers=without("x-api-key"))

    assert (answer.status, answer.error[0]) == (401, "authentication_error")


@pytest.mark.parametrize("header", [{"x-api-key": "k"}, {"authorization": "Bearer k"}])
async def test_a_key_is_taken_from_both_headers(header: dict[str, str]) -> None:
    assert (await asked(settings=ServerSettings(key="k"), headers=without("x-api-key") | header)).status == 200


async def test_another_key_than_the_one_asked_for_is_refused() -> None:
    answer = await asked(settings=ServerSettings(key="k"))

    assert (answer.status, answer.error[0]) == (401, "authentication_error")


@pytest.mark.parametrize("headers", [without("anthropic-version"), {**HEADERS, "anthropic-version": "2020-01-01"}])
async def test_a_version_that_is_missing_or_unknown_is_refused_by_name(headers: dict[str, str]) -> None:
    answer = await asked(headers=headers)

    assert (answer.status, "anthropic-version" in answer.error[1]) == (400, True)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_an_unknown_model_is_not_found(path: str) -> None:
    body = {**ASKED, "model": "gpt-9"}
    if path.endswith("count_tokens"):
        del body["max_tokens"]

    answer = await asked(body, path=path)

    assert (answer.status, answer.error[0]) == (404, "not_found_error")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/complete", 404), ("GET", "/v1/messages", 405), ("POST", "/v1/models", 405)],
)
async def test_other_paths_and_methods_are_refused_in_the_providers_words(method: str, path: str, status: int) -> None:
    answer = await asked(b"", method=method, path=path)

    assert answer.status == status
    assert answer.json["type"] == "error"
    assert answer.json["request_id"] == answer.headers["request-id"]


async def test_a_body_above_the_limit_is_refused_before_it_is_read() -> None:
    async with MockServer() as server, connect(server) as line:
        await line.send(f"POST /v1/messages HTTP/1.1\r\ncontent-length: {MAX_BODY + 1}\r\n\r\n".encode())
        answer = await line.answer()

    assert (answer.status, answer.error[0]) == (413, "request_too_large")


async def test_every_answer_has_a_request_id_of_its_own() -> None:
    async with MockServer() as server:
        ids = {(await ask(server, body)).headers["request-id"] for body in (ASKED, ASKED, b"{")}

    assert len(ids) == 3


async def test_prepared_answers_are_found_by_the_text_of_the_dataset() -> None:
    settings = ServerSettings(dataset_path=DIALOGUES, responses_path=RESPONSES)
    text = json.loads(DIALOGUES.read_text())[0]["user"]

    answer = await asked(
        {**ASKED, "max_tokens": 256, "messages": [{"role": "user", "content": text}]}, settings=settings
    )

    prepared = json.loads(RESPONSES.read_text())["tide_clock"]
    assert answer.json["content"] == [{"type": "text", "text": prepared["completion"], "citations": None}]
    assert prepared["usage"].items() <= answer.json["usage"].items()


async def test_prepared_answers_are_found_by_the_header() -> None:
    headers = {**HEADERS, "x-dialogue-id": "lock_bypass"}

    answer = await asked(settings=ServerSettings(responses_path=RESPONSES), headers=headers)

    assert answer.json["stop_reason"] == "refusal"
    assert answer.json["stop_details"]["type"] == "refusal"


def test_with_the_dataset_the_server_says_what_mock_mode_says(tmp_path: Path) -> None:
    """The same engine, the same dialogues: only the way the answers travel differs."""
    rows = [
        *({"dialogue_id": f"d{n}", "user": f"Question {n}?", "required_facts": [f"fact {n}"]} for n in range(20)),
        {"dialogue_id": "blocked", "user": "How do I pick a lock?", "expect_refusal": True},
        {"dialogue_id": "long", "messages": [{"role": "user", "content": "Tell me a lot, " * 40}]},
    ]
    path = tmp_path / "dialogues.json"
    path.write_text(json.dumps(rows))
    mock = MockClient(MockSettings())
    app = App(ServerSettings(dataset_path=path))

    for request in Planner(Params(model="claude-haiku-4-5", max_tokens=20)).plan(file.read(path)):
        said = mock.reply(request)
        message = answered(app, request.body)
        assert (message["content"][0]["text"], message["stop_reason"]) == (said.completion, said.stop_reason)


def answered(app: App, body: bytes, *, headers: dict[str, str] = HEADERS) -> dict[str, Any]:
    parser = Parser()
    parser.feed(post(body, headers=headers))
    request = parser.take()
    assert request is not None
    outgoing = app.respond(request)
    app.finish(outgoing, whole=True)
    message: dict[str, Any] = json.loads(b"".join(piece for _, piece in outgoing.pieces).partition(b"\r\n\r\n")[2])
    return message


def test_the_same_request_always_gets_the_same_message() -> None:
    body = json.dumps(ASKED).encode()

    assert answered(App(ServerSettings(seed=3)), body) == answered(App(ServerSettings(seed=3)), body)


@pytest.mark.parametrize("thinking", [None, {"type": "adaptive", "display": "summarized"}])
@pytest.mark.parametrize("max_tokens", [1, 5, 15, 10_000])
def test_no_answer_is_longer_than_max_tokens(max_tokens: int, thinking: dict[str, Any] | None) -> None:
    asked = [{"role": "user", "content": "Tell me all. " * 20}]
    body = {"model": "claude-opus-4-6", "max_tokens": max_tokens, "messages": asked}
    if thinking is not None:
        body["thinking"] = thinking

    message = answered(App(ServerSettings()), json.dumps(body).encode())

    usage = message["usage"]
    assert usage["output_tokens"] <= max_tokens
    assert (usage["output_tokens_details"] or {"thinking_tokens": 0})["thinking_tokens"] <= usage["output_tokens"]
    assert message["stop_reason"] == ("end_turn" if max_tokens == 10_000 else "max_tokens")


def test_a_prepared_answer_is_cut_at_max_tokens_too() -> None:
    app = App(ServerSettings(responses_path=RESPONSES, dataset_path=DIALOGUES))
    text = json.loads(DIALOGUES.read_text())[0]["user"]
    body = {**ASKED, "max_tokens": 10, "messages": [{"role": "user", "content": text}]}

    message = answered(app, json.dumps(body).encode())

    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("max_tokens", 10)
    assert len(message["content"][0]["text"]) == 40


def test_a_stop_sequence_ends_the_answer() -> None:
    body = {**ASKED, "stop_sequences": ["salty", "sea"]}

    message = answered(App(ServerSettings()), json.dumps(body).encode())

    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "sea")
    assert message["content"][0]["text"] == "You asked: Why is the "


def test_later_turns_belong_to_the_dialogue_that_their_first_text_opens(tmp_path: Path) -> None:
    path = tmp_path / "dialogues.json"
    path.write_text(json.dumps([{"dialogue_id": "talk", "turns": ["Hello", "Go on"]}]))
    prepared = tmp_path / "responses.json"
    prepared.write_text(json.dumps({"talk": {"completion": "last", "replies": ["first", "second"]}}))
    app = App(ServerSettings(dataset_path=path, responses_path=prepared))
    opening = [{"role": "user", "content": "Hello"}]
    later = [*opening, {"role": "assistant", "content": "first"}, {"role": "user", "content": "Go on"}]

    said = [
        answered(app, json.dumps({**ASKED, "messages": messages}).encode())["content"][0]["text"]
        for messages in (opening, later)
    ]

    assert said == ["first", "second"]
    assert set(app.snapshot(asked=True)["asked"]["each"]) == {"talk", "talk#1"}


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 0.5, "top_k": 4},
        {"top_p": 0.9},
        {"thinking": {"type": "adaptive"}, "effort": "high"},
    ],
)
def test_all_that_the_engine_can_send_is_accepted(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "dialogues.json"
    path.write_text(json.dumps([{"dialogue_id": "a", "user": "Hello", "system": "Be kind."}]))
    params = Params(model="claude-opus-4-6", max_tokens=9, stop_sequences=("x",), **changes)
    (request,) = Planner(params).plan(file.read(path))

    assert answered(App(ServerSettings()), request.body, headers=OLD)["type"] == "message"


async def test_a_schema_may_close_what_is_no_object() -> None:
    city = {"type": "string", "additionalProperties": False}
    schema = {"type": "object", "properties": {"city": city}, "required": ["city"], "additionalProperties": False}
    async with MockServer() as server:
        body = {**ASKED, "output_config": {"format": {"type": "json_schema", "schema": schema}}}
        answer = await ask(server, body)

    assert answer.status == 200, answer.error
