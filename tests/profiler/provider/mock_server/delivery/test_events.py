"""The events of a stream, one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

from profiler.provider.mock_server.delivery.events import CHARACTERS_PER_DELTA, event, events

JUDGE: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
TEXT = {"type": "text", "text": 'Said "0" and\n0é0 ' * 5, "citations": None}
CALL = {
    "type": "tool_use",
    "id": "t",
    "name": "n",
    "input": {"city": "Oslo", "days": [1, 2]},
    "caller": {"type": "direct"},
}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "x" * 100}
RESULT = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [], "caller": {"type": "direct"}}


def streamed(*content: dict[str, Any], stop_reason: str = "end_turn") -> list[dict[str, Any]]:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": list(content),
        "stop_reason": stop_reason,
        **dict.fromkeys(("stop_sequence", "stop_details", "container")),
        "usage": {"input_tokens": 3, "output_tokens": 50},
    }
    told = []
    for written, _ in events(message):
        name, data = written.removesuffix(b"\n\n").split(b"\n", 1)
        decoded = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + decoded["type"].encode()
        told.append(decoded)
    return told


def added(told: list[dict[str, Any]], index: int, field: str) -> str:
    deltas = [each["delta"] for each in told if each["type"] == "content_block_delta" and each["index"] == index]
    return "".join(delta.get(field, "") for delta in deltas)


def test_each_event_is_one_that_the_sdk_knows() -> None:
    for each in streamed(THOUGHT, TEXT, CALL, RESULT):
        if each["type"] != "ping":
            JUDGE.validate_python(each)


def test_the_deltas_add_up_to_the_blocks() -> None:
    told = streamed(THOUGHT, TEXT, CALL)

    assert (added(told, 0, "thinking"), added(told, 0, "signature")) == ("Hm.", "x" * 100)
    assert added(told, 1, "text") == TEXT["text"]
    assert json.loads(added(told, 2, "partial_json")) == CALL["input"]


def test_no_delta_is_longer_than_a_few_words_but_the_signature() -> None:
    lengths = [
        len(each["delta"][field])
        for each in streamed(TEXT, CALL)
        for field in ("text", "partial_json")
        if field in each.get("delta", {})
    ]

    assert max(lengths) == CHARACTERS_PER_DELTA


@pytest.mark.parametrize(("given", "written"), [({}, "{"), ({"a": 1}, '{"a":1')])
def test_a_call_that_was_cut_off_is_never_closed(given: dict[str, Any], written: str) -> None:
    assert added(streamed(CALL | {"input": given}, stop_reason="max_tokens"), 0, "partial_json") == written


def test_a_call_without_input_writes_nothing() -> None:
    assert added(streamed(CALL | {"input": {}}), 0, "partial_json") == ""


def test_what_a_server_tool_found_comes_in_one_piece() -> None:
    (started,) = [each for each in streamed(RESULT) if each["type"] == "content_block_start"]

    assert started["content_block"] == RESULT


def test_the_weights_are_the_characters_that_were_written() -> None:
    message: dict[str, Any] = {
        "content": [TEXT],
        "usage": {},
        **dict.fromkeys(("stop_reason", "stop_sequence", "stop_details", "container")),
    }

    assert sum(weight for _, weight in events(message)) == len(str(TEXT["text"]))


def test_an_event_is_named_twice() -> None:
    assert event("ping") == b'event: ping\ndata: {"type":"ping"}\n\n'
