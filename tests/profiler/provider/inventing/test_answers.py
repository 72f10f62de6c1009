"""What the mock answers where tools or a form are asked for; jsonschema judges it, which is not ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.nouns import Params, Reply
from profiler.engine.options import Options
from profiler.engine.runner import run
from profiler.manifest.settings import MockSettings
from profiler.provider.mock import MockClient
from profiler.provider.requests import Planner
from tests.profiler.building import dialogue
from tests.profiler.provider.asked_over import experiment
from tests.profiler.provider.loopback import KEY
from tests.servers import mock_server

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1},
        "born": {"type": "string", "format": "date"},
        "size": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "required": ["name", "tags", "size"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "schema": SCHEMA}
TOOL = {"name": "look_up", "input_schema": SCHEMA}
OTHER = {"name": "other", "input_schema": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}}}


def reply(number: int = 0, *, seed: int = 0, own: dict[str, Any] | None = None, **sent: Any) -> Reply:
    params = Params(**{"model": "claude-haiku-4-5", "max_tokens": 500, **sent})
    asked = Planner(params).request(number, dialogue(number, request=own))
    return MockClient(MockSettings(seed=seed)).reply(asked)


@settings(max_examples=60, deadline=None)
@given(number=st.integers(0, 10_000), seed=st.integers(0, 9))
def test_an_answer_fits_the_schema_that_was_sent_and_is_always_the_same(number: int, seed: int) -> None:
    found = reply(number, seed=seed, output_format=FORMAT)

    jsonschema.validate(json.loads(found.completion), SCHEMA)
    assert found.stop_reason == "end_turn"
    assert found == reply(number, seed=seed, output_format=FORMAT)


def test_answers_differ_from_dialogue_to_dialogue_and_seed_to_seed() -> None:
    of_dialogues = {reply(number, output_format=FORMAT).completion for number in range(50)}
    of_seeds = {reply(seed=seed, output_format=FORMAT).completion for seed in range(50)}

    assert min(len(of_dialogues), len(of_seeds)) > 40


def test_a_tool_that_must_be_called_is_called_with_what_it_takes() -> None:
    for number in range(30):
        found = reply(number, tools=(TOOL, OTHER), tool_choice={"type": "tool", "name": "look_up"})
        (call,) = found.content or [{}]
        jsonschema.validate(call["input"], SCHEMA)
        assert (call["name"], found.stop_reason, found.completion) == ("look_up", "tool_use", "")


def test_any_tool_may_be_the_one_and_none_is_called_where_that_is_forbidden() -> None:
    called = [reply(number, tools=(TOOL, OTHER), tool_choice={"type": "any"}).content or () for number in range(30)]
    none = [reply(number, tools=(TOOL,), tool_choice={"type": "none"}) for number in range(30)]

    assert all(called)
    assert {call["name"] for calls in called for call in calls} == {"look_up", "other"}
    assert all(found.content is None and found.stop_reason != "tool_use" for found in none)


def test_what_a_dialogue_sends_itself_decides() -> None:
    own = {"tools": [OTHER], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}}
    (call,) = reply(own=own, tools=(TOOL,), output_format=FORMAT).content or [{}]

    assert call["name"] == "other"
    assert json.loads(reply(own={"output_format": FORMAT}).completion)
    assert reply(own={"output_format": None}, output_format=FORMAT) == reply()


def test_an_answer_ends_at_max_tokens() -> None:
    found = reply(output_format=FORMAT, max_tokens=3)

    assert (found.stop_reason, len(found.completion), found.usage["output_tokens"]) == ("max_tokens", 12, 3)


@pytest.mark.parametrize(
    "sent",
    [
        {"output_format": FORMAT},
        {"tools": (TOOL, OTHER), "tool_choice": {"type": "any"}},
        {"tools": (TOOL, OTHER), "output_format": FORMAT},  # half of the answers call a tool
    ],
)
async def test_the_mock_server_answers_the_same(
    sent: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps({"dialogue_id": f"d{i}", "user": f"question {i}"}) + "\n" for i in range(20)))
    records = {}
    with mock_server("--dataset", str(path)) as server:
        for mode in ("mock", "live"):
            asked = experiment(server.base_url, dataset_path=path, max_tokens=500, **sent)
            await run(asked, options=Options(output_dir=tmp_path / mode, mode=mode))
            lines = (tmp_path / mode / "e" / "responses.jsonl").read_text().splitlines()
            records[mode] = [
                (each["completion"], each["stop_reason"], each.get("tool_calls")) for each in map(json.loads, lines)
            ]

    assert records["mock"] == records["live"]
    assert any(calls for _, _, calls in records["mock"]) is ("tools" in sent)
