from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from profiler.core.errors import LogError
from profiler.storage.names import SCORES
from profiler.storage.reading.item import Item
from profiler.storage.reading.saved_run import SavedRun
from tests.profiler.storage import directories
from tests.profiler.storage.test_score_log import EXPECTED, complete

if TYPE_CHECKING:
    from pathlib import Path


def item(prompt: object, **record: object) -> Item:
    return Item({"prompt": prompt}, {"dialogue_id": "d", "type": "answer", **record}, {})


def test_items_join_question_answer_and_scores(tmp_path: Path) -> None:
    found = list(complete(tmp_path).items())
    assert [each.dialogue_id for each in found] == ["d0", "d1", "d2"]
    assert [each.question for each in found] == ["question 0", "question 1", "question 2"]
    assert [each.answer for each in found] == ["paris", "paris", None]
    assert [each.replies for each in found] == [("paris",), ("paris",), ()]
    assert [each.type for each in found] == ["answer", "answer", "error"]
    assert [each.scores for each in found] == [line["scores"] for line in EXPECTED]
    assert found[1].request["required_facts"] == ["Paris", "x"]


def test_an_unfinished_run_has_the_items_that_are_kept_beyond_a_straggler_too(tmp_path: Path) -> None:
    directories.run(tmp_path, asked=range(4), answered=[0, 3])
    found = list(SavedRun(tmp_path).items())
    assert [each.dialogue_id for each in found] == ["d0", "d3"]
    assert [each.question for each in found] == ["question 0", "question 3"]
    assert all(each.scores["completion_rate"] for each in found)


@pytest.mark.parametrize("line", [{"dialogue_id": "d1", "index": 0, "scores": {}}, None])
def test_scores_of_other_items_are_damage(tmp_path: Path, line: object) -> None:
    run = complete(tmp_path)
    (tmp_path / SCORES).write_bytes(b"" if line is None else orjson.dumps(line) + b"\n")
    with pytest.raises(LogError, match=r"scores\.jsonl:1"):
        list(run.items())


def test_the_question_is_what_the_user_said_last() -> None:
    assert item({"system": "s", "user": "u"}).question == "u"
    assert item({"system": None, "turns": ["first", "second"]}).question == "second"
    messages = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "reply"},
        {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image", "source": {}}]},
    ]
    assert item({"messages": messages}).question == "look\n[image]"


def test_blocks_and_calls_of_tools_can_be_read() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 100}
    call = {"type": "tool_use", "id": "t1", "name": "look_up", "input": {"what": "x"}}
    messages = [
        {"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "What?"}]},
        {"role": "assistant", "content": [call]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "42"}]},
                {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
                {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
            ],
        },
    ]
    found = item({"messages": messages}, completion="Once more.", tool_calls=[{"name": "look_up", "input": {"n": 1}}])

    assert found.conversation == [
        ("user", "[image: image/png]\nWhat?"),
        ("assistant", '[calls look_up {"what":"x"}]'),
        ("user", "[result of t1] 42\n[document: https://example.com/a.pdf]\n[image: file_1]"),
        ("assistant", 'Once more.\n[calls look_up {"n":1}]'),
    ]
    assert item({"user": "u"}, completion="", tool_calls=[{"name": "f", "input": {}}]).said[-1] == "[calls f {}]"


def test_what_was_asked_is_empty_where_nothing_is_told() -> None:
    assert item({}).question == ""


def test_a_dialogue_of_turns_has_all_its_replies() -> None:
    found = item({}, completion="second", replies=["first", "second"], repeat=2)
    assert (found.replies, found.answer, found.repeat) == (("first", "second"), "second", 2)
    assert item({}, completion="only").repeat == 0
