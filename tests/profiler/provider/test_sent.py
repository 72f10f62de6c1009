"""What requests.jsonl says was sent is what arrives at a real server, over every lane and every platform."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import anthropic
import httpx2
import pytest

from profiler.core.errors import DatasetError
from profiler.core.nouns import Dialogue, Message
from profiler.engine.options import Options
from profiler.engine.runner import run
from profiler.manifest.metrics import MetricEntry
from profiler.provider.requests import Planner, params_of
from tests.profiler.provider.asked_over import ALL_LANES, as_asked, experiment
from tests.profiler.provider.loopback import KEY, MESSAGE, Asked, Say, http, serving
from tests.profiler.provider.test_cloud import aws, google

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.provider.open import Lane

PNG = b64encode(
    b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (64).to_bytes(4) + (48).to_bytes(4) + b"\x08\x02\0\0\0\0"
).decode()
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
BY_REFERENCE = [
    {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
    {"type": "document", "source": {"type": "file", "file_id": "file_1"}, "title": None},
]
TEXT = {"type": "text", "text": "Which of them?"}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
TOOL = {"name": "look_up", "input_schema": {"type": "object", "properties": {"what": {"type": "string"}}}}
OTHER = {"name": "other", "description": "ä", "input_schema": {"type": "object"}}
SETTINGS: dict[str, Any] = {
    "system": "Be brief.",
    "stop_sequences": ("END",),
    "effort": "low",
    "thinking": {"type": "disabled"},
    "tools": (TOOL,),
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "output_format": {"type": "json_schema", "schema": SCHEMA},
    # keys that the SDK takes by name, that it would put into a header, and that it has never heard of
    "request": {
        "service_tier": "standard_only",
        "metadata": {"user_id": "u"},
        "inference_geo": None,
        "of_tomorrow": [1, {"a": None}],
        "output_config": {"task": 3},
    },
}
DIALOGUES: list[dict[str, Any]] = [
    {"dialogue_id": "text", "user": "Capital of France?"},
    {"dialogue_id": "blocks", "messages": [{"role": "user", "content": [IMAGE, TEXT]}]},
    {"dialogue_id": "turns", "turns": ["One?", "Two?"], "system": "Speak."},
    {
        "dialogue_id": "own",
        "user": "Own?",
        "request": {
            "tools": [OTHER],
            "tool_choice": {"type": "tool", "name": "other"},
            "service_tier": "auto",
            "new": 1,
        },
    },
    {"dialogue_id": "none", "user": "None?", "request": {"tools": None, "tool_choice": None, "output_format": None}},
]


async def one_run(
    folder: Path, url: str, *, lane: Lane | None, dialogues: Any = DIALOGUES, **settings: Any
) -> list[Any]:
    """What requests.jsonl says."""
    path = folder / "d.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in dialogues))
    asked = experiment(url, dataset_path=path, concurrency=1, **settings)
    await run(asked, options=Options(output_dir=folder, mode="live", lane=lane))
    return [json.loads(line) for line in (folder / "e" / "requests.jsonl").read_text().splitlines()]


def logged(line: dict[str, Any]) -> dict[str, Any]:
    """The body that a line of requests.jsonl tells of: that of the first turn."""
    prompt = line["prompt"]
    said = prompt.get("user") or (prompt.get("turns") or [None])[0]
    body: dict[str, Any] = {
        "model": line["model"],
        "max_tokens": line["max_tokens"],
        "messages": prompt.get("messages") or [{"role": "user", "content": said}],
        **({} if line["temperature"] is None else {"temperature": line["temperature"]}),
        **({} if prompt["system"] is None else {"system": prompt["system"]}),
    }
    body.update(line.get("request", {}))
    return body


def arrived(server: Any, *, without: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    bodies = [json.loads(asked.body) for asked in server.asked if asked.headers["content-type"] == "application/json"]
    firsts = [body for body in bodies if len(body["messages"]) == 1]  # of a dialogue of several turns only the first
    return [{key: value for key, value in body.items() if key not in without} for body in firsts]


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_what_is_logged_as_sent_is_what_arrives(
    lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    dialogues = [*DIALOGUES, {"dialogue_id": "addresses", "messages": [{"role": "user", "content": BY_REFERENCE}]}]
    async with serving(lambda _: as_asked(lane)) as server:
        lines = await one_run(tmp_path, server.url, lane=lane, dialogues=dialogues, **SETTINGS)

    assert arrived(server, without=("stream",)) == [logged(line) for line in lines]
    of_text, _, _, own, none, _ = (line["request"] for line in lines)
    assert of_text["output_config"] == {"task": 3, "effort": "low", "format": SETTINGS["output_format"]}
    assert (own["tools"], own["service_tier"], own["new"], own["metadata"]) == ([OTHER], "auto", 1, {"user_id": "u"})
    assert not {"tools", "tool_choice"} & set(none)
    assert none["output_config"] == {"task": 3, "effort": "low"}


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_sampling_parameters_and_the_later_turns_arrive_too(
    lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    async with serving(lambda _: as_asked(lane)) as server:
        lines = await one_run(
            tmp_path, server.url, lane=lane, dialogues=DIALOGUES[2:4], temperature=0.5, top_k=3, tools=(TOOL,)
        )

    assert arrived(server, without=("stream",)) == [logged(line) for line in lines]
    (later,) = [body for body in (json.loads(asked.body) for asked in server.asked) if len(body["messages"]) > 1]
    assert (later["top_k"], later["tools"], later["system"]) == (3, [TOOL], "Speak.")


def credentials(provider: str, monkeypatch: pytest.MonkeyPatch, folder: Path, url: str) -> None:
    match provider:
        case "bedrock":
            aws(monkeypatch)
        case "vertex":
            google(monkeypatch, folder, token_url=f"{url}/token")
        case _:
            monkeypatch.setenv("ANTHROPIC_FOUNDRY_API_KEY", "foundry-key")


@pytest.mark.parametrize("provider", ["bedrock", "vertex", "foundry"])
async def test_every_platform_is_sent_what_is_logged(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(asked: Asked) -> Say:
        if asked.head.split()[1] == "/token":
            return http(200, {"access_token": "made-up-token", "expires_in": 3600, "token_type": "Bearer"})
        return http(200, MESSAGE)

    async with serving(answer) as server:
        credentials(provider, monkeypatch, tmp_path, server.url)
        lines = await one_run(tmp_path, server.url, lane=None, provider=provider, **SETTINGS)

    of_the_platform = ("stream", "anthropic_version")
    named = () if provider == "foundry" else ("model",)  # it stands in the address
    wanted = [{key: value for key, value in logged(line).items() if key not in named} for line in lines]
    assert arrived(server, without=(*of_the_platform, *named)) == wanted


def test_the_official_sdk_sends_the_same_bytes_for_the_keys_that_it_knows() -> None:
    """The SDK is called as its documentation says, and both bodies are compared."""
    sent: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.content)
        return httpx2.Response(200, json=MESSAGE)

    settings = {**SETTINGS, "request": {"service_tier": "standard_only", "metadata": {"user_id": "u"}}}
    planned = Planner(params_of(experiment("http://x", **settings)), system="Be brief.")
    said = Message(role="user", content=[IMAGE, TEXT])
    request = planned.request(0, Dialogue(dialogue_id="d", messages=(said,)))
    with anthropic.Anthropic(
        api_key="k", max_retries=0, http_client=httpx2.Client(transport=httpx2.MockTransport(answer))
    ) as client:
        create: Any = client.messages.create  # plain dictionaries are none of its types
        create(
            model="claude-haiku-4-5",
            max_tokens=64,
            messages=[{"role": "user", "content": [IMAGE, TEXT]}],
            system="Be brief.",
            stop_sequences=["END"],
            thinking={"type": "disabled"},
            tools=[TOOL],
            tool_choice={"type": "auto", "disable_parallel_tool_use": True},
            output_config={"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
            service_tier="standard_only",
            metadata={"user_id": "u"},
        )

    assert json.loads(sent[0]) == json.loads(request.body)


async def refused(folder: Path, dialogues: list[dict[str, Any]], **settings: Any) -> str:
    """What a run says that may not begin."""
    async with serving(lambda _: http(200, MESSAGE)) as server:
        with pytest.raises(DatasetError) as caught:
            await one_run(folder, server.url, lane=None, dialogues=dialogues, **settings)
        assert server.asked == []
    return str(caught.value)


@pytest.mark.parametrize("provider", ["bedrock", "vertex"])
async def test_what_a_platform_cannot_take_is_refused_before_the_run(provider: str, tmp_path: Path) -> None:
    heavy = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG + "A" * (5 << 20)}}
    content = [BY_REFERENCE[0], heavy, TEXT]
    said = await refused(
        tmp_path, [{"dialogue_id": "d", "messages": [{"role": "user", "content": content}]}], provider=provider
    )

    assert "dialogue 'd': messages[0].content[0].source: found an image by url, this provider takes base64 only" in said
    assert "messages[0].content[1].source: found an image of 5,242," in said


async def test_a_choice_among_tools_needs_tools_in_every_dialogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with_tools = {"dialogue_id": "with", "user": "x", "request": {"tools": [TOOL]}}
    said = await refused(tmp_path, [with_tools, {"dialogue_id": "bare", "user": "x"}], tool_choice={"type": "any"})

    assert said.startswith(
        f"{tmp_path}/d.jsonl:2: dialogue 'bare' brings no tools, which the tool_choice of the manifest"
    )
    assert "hint: set tools in the manifest" in said


async def test_a_schema_that_answers_are_checked_with_must_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    metric = MetricEntry(json_schema="sent")
    bare = [{"dialogue_id": "d", "user": "x"}]
    said = await refused(tmp_path, bare, metrics=(metric,))
    with_schema = [*bare, {"dialogue_id": "own", "user": "x", "request": {"output_format": SETTINGS["output_format"]}}]
    async with serving(lambda _: http(200, {**MESSAGE, "content": [{"type": "text", "text": '{"n": 1}'}]})) as server:
        await one_run(tmp_path, server.url, lane=None, dialogues=with_schema, metrics=(metric,))
    summary = json.loads((tmp_path / "e" / "summary.json").read_text())

    assert "no schema is sent, against which json_schema would check answers" in said
    assert (summary["metrics"]["json_schema"]["value"], summary["metrics"]["json_schema"]["n"]) == (1.0, 1)
    assert summary["run"]["metrics"] == [{"json_schema": "sent"}]
