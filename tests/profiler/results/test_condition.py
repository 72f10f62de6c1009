from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.errors import UsageError
from profiler.results.condition import condition
from profiler.storage.reading.item import Item

ITEM = Item(
    {"metadata": {"level": 3, "deep": {"x": 1, "y.z": 2}, "deep.w": 4}, "tags": ["a", "b"], "expected": "yes"},
    {
        "dialogue_id": "d1",
        "type": "answer",
        "completion": "It is so.",
        "latency_s": 2.5,
        "ttft_s": 0.25,
        "gap_p95_s": 0.0625,
        "held_s": 1.5,
        "usage": {"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 2}},
        "error": None,
        "attempts": 1,
    },
    {"ok": True, "share": 0.5, "nothing": None, "refusal-rate": False},
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        *[("ok == true", True), ("ok == false", False), ("ok != false", True), ("ok == 1", False)],
        *[("share == 0.5", True), ("share < .51", True), ("share >= 5e-1", True), ("share > 0.5", False)],
        *[("nothing == null", True), ("nothing < 1", False), ("nothing >= 1", False), ("not nothing < 1", True)],
        *[("refusal-rate == false", True), ("latency_s > 2", True), ("attempts == 1", True), ("attempts > -1", True)],
        *[("type == 'answer'", True), ('type == "answer"', True), ("type < 'b'", True), ("type < 1", False)],
        *[("metadata.level == 3", True), ("metadata.none == null", True), ("tags contains 'a'", True)],
        *[("metadata.deep.x == 1", True), ("metadata.deep.y.z == 2", True), ("metadata.deep.w == 4", True)],
        *[("metadata.deep.x.y == null", True), (f"attempts < {'9' * 5_000}", True)],
        *[("tags contains 'c'", False), ("answer contains 'so'", True), ("latency_s contains 'so'", False)],
        *[("ttft_s < 0.3", True), ("gap_p95_s > 0.1", False), ("held_s >= 1.5", True), ("between_s == null", True)],
        *[("error == null", True), ("error.status == 500", False), ("output_tokens == 7", True)],
        *[("thinking_tokens == 2", True), ("dialogue_id == 'd1'", True), ("expected == 'yes'", True)],
        *[("ok == true and share > 1", False), ("ok == true or share > 1", True)],
        *[("ok == false and ok == true or ok == true", True), ("ok == false and (ok == true or ok == true)", False)],
        *[("not (ok == true and share == 0.5)", False), ("not not ok == true", True), ("(((ok == true)))", True)],
    ],
)
def test_a_condition_holds_as_it_reads(text: str, holds: bool) -> None:
    assert condition(text, scores=list(ITEM.scores))(ITEM) is holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ": found the end (character 1), expected a name"),
        ("ok", "found the end (character 3), expected ==, !="),
        ("ok =", "'=' (character 4) cannot be read"),
        ("ok == yes", "found 'yes' (character 7), expected a number, a text in quotes"),
        ("ok == true share", "found 'share' (character 12), expected and, or"),
        ("(ok == true", "found the end (character 12), expected a closing bracket"),
        ("ok == true)", "')' (character 11)"),
        ("true == ok", "found 'true == ok' (character 1), expected a name"),
        ("okk == true", "there is no value 'okk' in this run"),
        ("__import__('os') == 1", "'__import__'"),
        ("ok == 'open", "cannot be read"),
        ('ok == "\\q"', "is no text"),
        ('ok == "\udcff"', "is no text"),
        ("(" * 60 + "ok == true" + ")" * 60, "nested too deeply"),
        ("not " * 10_000 + "ok == true", "nested too deeply"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        condition(text, scores=list(ITEM.scores))
    assert said in str(caught.value)


def test_a_mistyped_name_gets_a_hint() -> None:
    with pytest.raises(UsageError) as caught:
        condition("latncy_s > 2", scores=())
    assert caught.value.hint == "did you mean 'latency_s'?"


@given(st.text(alphabet="ok share ==!<>()'\"andornot1.0\\", max_size=40))
def test_whatever_is_typed_is_read_or_refused(text: str) -> None:
    try:
        found: Any = condition(text, scores=list(ITEM.scores))(ITEM)
    except UsageError:
        return
    assert isinstance(found, bool)
