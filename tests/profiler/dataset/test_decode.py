from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from profiler.core.nouns import Dialogue
from profiler.dataset.decode import Decoder, from_mapping, loads
from profiler.dataset.explain import Rejected

texts = st.sampled_from(["", "a", "é", "x\u2028", "\u00a0", "\x7f", "a" * 513])
contents = texts | st.lists(st.just({"type": "text"}) | st.just({}) | st.just(1), max_size=2)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": contents},
    optional={"extra": st.just(1)},
)
wrong = st.sampled_from([None, 1, "text", [1], []])
USER: dict[str, Any] = {"user": "u"}
asked = st.sampled_from([USER, {"turns": ["a", "b"]}, {"messages": [{"role": "user", "content": "c"}]}, {}])
changes = st.fixed_dictionaries(
    {},
    optional={
        "dialogue_id": texts | wrong,
        "user": texts | wrong,
        "messages": st.lists(messages, max_size=2) | wrong,
        "turns": st.lists(texts, max_size=2) | wrong,
        "system": texts | wrong,
        "required_facts": st.lists(texts, max_size=2) | wrong,
        "expect_refusal": st.booleans() | wrong,
        "tags": st.lists(texts, max_size=2) | wrong,
        "metadata": st.sampled_from([{}, {"k": 1}, {"huge": 2**70}]) | wrong,
        "own": st.just(1),
    },
)


def told(read: Any, raw: bytes) -> Dialogue | tuple[str, ...]:
    """The dialogue, or what is said to be wrong with it."""
    try:
        dialogue: Dialogue = read(raw)
    except Rejected as rejected:
        return tuple(fault.message for fault in rejected.faults)
    return dialogue


@settings(max_examples=300)
@given(asked, changes)
@example(USER, {"dialogue_id": ""})
@example(USER, {"dialogue_id": "a" * 513})
@example(USER, {"dialogue_id": "\x7f"})
@example(USER, {"required_facts": [""]})
@example(USER, {"turns": ["a"]})
@example(USER, {"metadata": {"huge": 2**70}})
@example({}, {"turns": ["a", ""]})
@example({}, {"messages": [{"role": "user", "content": "a"}], "turns": ["a"]})
@example({}, {"messages": [{"role": "assistant", "content": "a"}]})
@example({}, {"messages": [{"role": "user", "content": []}]})
@example({}, {"messages": [{"role": "user", "content": [{"huge": 2**70}]}]})
def test_the_quick_way_and_the_general_one_give_the_same(asked: dict[str, Any], changed: dict[str, Any]) -> None:
    row = {"dialogue_id": "d"} | asked | changed
    raw = json.dumps(row).encode()

    assert told(Decoder(), raw) == told(lambda raw: from_mapping(loads(raw)), raw)
