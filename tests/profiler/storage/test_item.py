from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from profiler.core.errors import LogError
from profiler.storage.item import Item
from profiler.storage.names import SCORES
from profiler.storage.saved_run import SavedRun
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
    assert item({}).question == ""


def test_a_dialogue_of_turns_has_all_its_replies() -> None:
    found = item({}, completion="second", replies=["first", "second"], repeat=2)
    assert (found.replies, found.answer, found.repeat) == (("first", "second"), "second", 2)
    assert item({}, completion="only").repeat == 0
