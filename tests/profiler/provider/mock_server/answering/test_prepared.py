"""Answers that were written down: how they are found, and whose turn it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.errors import ManifestError
from profiler.provider.mock_server.answering.prepared import Prepared
from tests.profiler.provider.mock_server.reading.asking import TOOL_RESULT, TOOL_USE, exchange, read

if TYPE_CHECKING:
    from pathlib import Path


def load(folder: Path, entries: dict[str, Any]) -> Prepared:
    path = folder / "responses.json"
    path.write_text(json.dumps(entries))
    return Prepared(path)


def found(prepared: Prepared, *contents: Any, dialogue_id: str = "?", **changes: Any) -> str | None:
    entry = prepared.find(read(messages=exchange(*contents), **changes), dialogue_id=dialogue_id)
    return entry[1].completion if entry is not None else None


def test_a_name_goes_before_a_pattern(tmp_path: Path) -> None:
    prepared = load(tmp_path, {"p": {"when": {"text": "."}, "completion": "pattern"}, "d": {"completion": "name"}})

    assert found(prepared, "x", dialogue_id="d") == "name"
    assert found(prepared, "x", dialogue_id="p") == "pattern"
    assert found(prepared, "x") == "pattern"


def test_patterns_look_at_what_came_last(tmp_path: Path) -> None:
    entries = {
        "result": {"when": {"tool_result": "ra.n"}, "completion": "result"},
        "both": {"when": {"text": "(?i)weather", "model": "haiku"}, "completion": "text"},
    }
    prepared = load(tmp_path, entries)

    assert found(prepared, "The Weather?") == "text"
    assert found(prepared, "The weather?", model="claude-opus-5") is None
    assert found(prepared, "The weather?", [TOOL_USE], [TOOL_RESULT]) == "result"
    assert found(prepared, "The weather?", "Rain.", "Thanks") is None


def test_a_sequence_goes_on_only_when_its_answer_is_given(tmp_path: Path) -> None:
    prepared = load(tmp_path, {"d": {"sequence": [{"completion": "first"}, {"completion": "second"}]}})
    seen = [found(prepared, "x", dialogue_id="d"), found(prepared, "x", dialogue_id="d")]
    for _ in range(2):
        prepared.use("d")
        seen.append(found(prepared, "x", dialogue_id="d"))
    prepared.reset()
    seen.append(found(prepared, "x", dialogue_id="d"))

    assert seen == ["first", "first", "second", "second", "first"]


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({}, "none of them"),
        ({"completion": "x", "content": []}, "completion and content"),
        ({"content": [{"text": "x"}]}, "without type"),
        ({"sequence": []}, "empty list"),
        ({"sequence": [{"completion": "x"}, {}]}, "sequence: found none of them"),
        ({"completion": "x", "when": {"text": "("}}, "no regular expression"),
        ({"completion": "x", "when": {"texts": "x"}}, "texts"),
        ({"completions": "x"}, "completions"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, entry: dict[str, Any], named: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load(tmp_path, {"d": entry})

    assert named in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"gone\.json"):
        Prepared(tmp_path / "gone.json")


def test_a_list_answers_one_ask_after_the_other_and_begins_anew(tmp_path: Path) -> None:
    """As the mock of a manifest answers the repeats of a dialogue."""
    prepared, said = load(tmp_path, {"d": [{"completion": "a"}, {"completion": "b"}]}), []
    for _ in range(5):
        said.append(found(prepared, "x", dialogue_id="d"))
        prepared.use("d")

    assert said == ["a", "b", "a", "b", "a"]
    with pytest.raises(ManifestError, match="empty list"):
        load(tmp_path, {"d": []})
