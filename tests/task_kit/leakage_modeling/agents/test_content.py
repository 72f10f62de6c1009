"""`content`: whatever a model writes may go back to it, into a transcript and into JSON."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.nouns import Reply
from task_kit.leakage_modeling.agents.content import MOST_CALLS, BadOutput, Call, call_of, content_of

TEXTS = st.text(st.characters(), max_size=20)  # half characters among them
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
FIELDS = ("text", "name", "id", "input", "thinking", "signature", "data")
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "thinking", "redacted_thinking", "server_tool_use"]) | VALUES},
    optional=dict.fromkeys(FIELDS, VALUES),
)


def reply(*blocks: Any) -> Reply:
    return Reply(completion="", stop_reason="tool_use", model="m", usage={}, content=list(blocks))


@given(st.lists(BLOCKS | VALUES, max_size=6))
def test_any_content_becomes_blocks_that_every_writer_takes(blocks: list[Any]) -> None:
    parts = content_of(reply(*blocks), taken=set())

    plain = [part.block() if isinstance(part, Call) else part for part in parts]
    assert len(orjson.loads(orjson.dumps(plain))) == len(plain)
    assert msgspec.json.encode(plain)
    calls = [part for part in parts if isinstance(part, Call)]
    assert len({call.id for call in calls}) == len(calls)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", word) for call in calls for word in (call.id, call.name))


def test_good_blocks_are_left_as_they_are() -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Lööking"},
        {"type": "tool_use", "id": "toolu_1", "name": "python_expression", "input": {"expression": "1"}},
    ]

    parts = content_of(reply(*blocks), taken=set())

    assert [part.block() if isinstance(part, Call) else part for part in parts] == blocks


@pytest.mark.parametrize("name", ["a b", "\ud800", "x" * 200, "", "tool/with/slashes", None, 3, ["a"]])
def test_a_name_that_no_provider_takes_is_told_as_it_was_and_sent_back_as_another(name: object) -> None:
    call = call_of(name, {}, id="a", taken=set())

    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call.name)
    assert call.asked_for != "python_expression"


def test_an_id_that_was_there_before_becomes_another() -> None:
    taken: set[str] = set()

    ids = [call_of("a", {}, id=given, taken=taken).id for given in ("x", "x", None, "call_1", "y z")]

    assert len(set(ids)) == 5


def test_a_signed_thought_that_would_have_to_be_changed_is_left_out() -> None:
    assert content_of(reply({"type": "thinking", "thinking": "\ud800", "signature": "s"}), taken=set()) == []


def test_a_reply_beyond_all_measure_is_no_reply() -> None:
    call = {"type": "tool_use", "id": "a", "name": "b", "input": {}}

    with pytest.raises(BadOutput, match="more than 32 calls"):
        content_of(reply(*[call] * (MOST_CALLS + 1)), taken=set())
    with pytest.raises(BadOutput, match="bytes"):
        content_of(reply({"type": "text", "text": "x" * (1 << 21)}), taken=set())


def test_what_is_nested_without_end_is_cut() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]

    [call] = content_of(reply({"type": "tool_use", "id": "a", "name": "b", "input": {"x": deep}}), taken=set())

    assert isinstance(call, Call)
    assert orjson.dumps(call.block())
