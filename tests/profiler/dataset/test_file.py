"""profiler.dataset.file: what a dialogue may hold, and what a survey says of a file."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest

from profiler.core.errors import DatasetError
from profiler.core.nouns import Dialogue, Message
from profiler.dataset import file as dataset
from profiler.dataset.selection import Selection
from profiler.dataset.unchanged import fingerprint
from tests.profiler.dataset.files import ENCODE, Row, as_lines, problem_of, problems_of, write

SWEEP = Path(__file__).parents[3] / "data" / "sweep_dialogues.jsonl"
TEXT_BLOCK = {"type": "text", "text": "?"}


def test_a_dialogue_keeps_every_known_key(tmp_path: Path) -> None:
    row = {
        "dialogue_id": "../a/b",
        "messages": [{"role": "assistant", "content": "hi"}, {"role": "user", "content": [TEXT_BLOCK]}],
        "system": "be kind",
        "required_facts": ["Paris"],
        "expect_refusal": False,
        "tags": ["x"],
        "request": {"service_tier": "auto"},
    }
    path = write(tmp_path / "d.jsonl", as_lines([row]))
    assert list(dataset.read(path)) == [
        Dialogue(
            dialogue_id="../a/b",
            messages=(Message(role="assistant", content="hi"), Message(role="user", content=[TEXT_BLOCK])),
            system="be kind",
            required_facts=("Paris",),
            expect_refusal=False,
            tags=("x",),
            request={"service_tier": "auto"},
        )
    ]


def test_unknown_keys_and_metadata_become_one_mapping(tmp_path: Path) -> None:
    row = {"dialogue_id": "a", "user": "x", "source": "me", "none": None, "metadata": {"n": [1, 2.5]}}
    (dialogue,) = dataset.read(write(tmp_path / "d.jsonl", as_lines([row])))
    assert dialogue.metadata == {"source": "me", "none": None, "n": [1, 2.5]}


def test_null_is_absent(tmp_path: Path) -> None:
    row = dict.fromkeys(["messages", "turns", "system", "required_facts", "expect_refusal", "tags", "metadata"])
    path = write(tmp_path / "d.jsonl", as_lines([{"dialogue_id": "a", "user": "x", **row}]))
    assert list(dataset.read(path)) == [Dialogue(dialogue_id="a", user="x")]


def test_blank_lines_and_a_byte_order_mark_are_not_dialogues(tmp_path: Path) -> None:
    text = '\n{"dialogue_id": "a", "user": "x"}\r\n \t\n{"dialogue_id": "b", "user": "x"}\n\n'
    path = write(tmp_path / "d.jsonl", b"\xef\xbb\xbf" + text.encode())
    assert [dialogue.dialogue_id for dialogue in dataset.read(path)] == ["a", "b"]
    assert [dialogue.dialogue_id for dialogue in dataset.read(path, start=1)] == ["b"]


def test_cells_of_csv_are_lists_or_json_where_the_key_asks_for_it(tmp_path: Path) -> None:
    text = (
        "dialogue_id,user,turns,required_facts,tags,expect_refusal,metadata,source\n"
        'a,"two\nlines",,Paris | Seine,"[""a|b""]",True,"{""n"": 1}",web\n'
        'b,,"[""one"", ""two""]",,,,,\n'
    )
    assert list(dataset.read(write(tmp_path / "d.csv", text))) == [
        Dialogue(
            dialogue_id="a",
            user="two\nlines",
            required_facts=("Paris", "Seine"),
            tags=("a|b",),
            expect_refusal=True,
            metadata={"n": 1, "source": "web"},
        ),
        Dialogue(dialogue_id="b", turns=("one", "two")),
    ]


def test_a_cell_longer_than_the_limit_of_the_csv_module_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "dialogue_id,user\na," + "x" * 300_000 + "\n")
    assert [len(dialogue.user or "") for dialogue in dataset.read(path)] == [300_000]


def test_the_dialogues_of_the_sweep_are_as_varied_as_they_claim() -> None:
    dialogues = list(dataset.read(SWEEP))
    assert dataset.survey(SWEEP).count == len(dialogues) > 200
    assert sum(dialogue.expect_refusal is True for dialogue in dialogues) == 21
    tags = {tag for dialogue in dialogues for tag in dialogue.tags}
    assert tags >= {"safety", "multi-turn", "context", "system", "unicode", "long", "borderline"}


def test_it_says_by_what_no_answer_can_be_judged_and_what_stands_there_instead(tmp_path: Path) -> None:
    rows: list[Row] = [
        {"dialogue_id": "a", "user": "x", "required_facts": []},
        {"dialogue_id": "b", "user": "x", "facts": ["y"], "metadata": {"source": "z"}},
    ]
    path = write(tmp_path / "d.jsonl", as_lines(rows))
    survey = dataset.survey(path)
    assert (survey.absent, survey.own_keys) == (("required_facts", "expect_refusal", "expected"), ("facts", "source"))
    judged: Row = {"dialogue_id": "c", "user": "x", "required_facts": ["y"], "expect_refusal": False, "expected": 1}
    assert dataset.survey(write(path, as_lines([*rows, judged]))).absent == ()


NUMBERED: list[Row] = [
    {"dialogue_id": 7, "user": "x"},
    {"dialogue_id": "a", "user": "x"},
    {"dialogue_id": -3, "user": "x"},
]


@pytest.mark.parametrize("name", ["d.jsonl", "d.json", "d.jsonl.gz"])
def test_ids_that_are_numbers_are_taken_as_text_and_that_is_said_once(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ENCODE[name.partition(".")[2]](NUMBERED))
    assert [dialogue.dialogue_id for dialogue in dataset.read(path)] == ["7", "a", "-3"]
    (remark,) = dataset.survey(path).remarks
    assert remark == f"{path}:1: dialogue_id: found 7 (a whole number), taken as the text '7'"


def test_a_number_and_the_same_as_text_are_one_id(tmp_path: Path) -> None:
    rows: list[Row] = [{"dialogue_id": 7, "user": "x"}, {"dialogue_id": "7", "user": "x"}]
    assert "'7' at line 2 was already used at line 1" in problem_of(write(tmp_path / "d.jsonl", as_lines(rows))).message


@pytest.mark.parametrize(
    ("cell", "facts", "remark"),
    [
        ("a|b; c", ("a", "b; c"), ""),
        ("a; b ;c", ("a", "b", "c"), "found 'a; b ;c', taken as a list of 3; lists are separated by ; or |"),
        ("a, b", ("a, b",), "found 'a, b', taken as one text; lists are separated by ; or |"),
        ('["a", "b;c"]', ("a", "b;c"), ""),
        ("a b", ("a b",), ""),
    ],
)
def test_a_csv_cell_that_may_be_a_list_is_said_to_be_taken_as_one(
    tmp_path: Path, cell: str, facts: tuple[str, ...], remark: str
) -> None:
    rows = [["dialogue_id", "user", "required_facts"], ["1", "x", cell], ["2", "x", cell]]
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    path = write(tmp_path / "d.csv", file.getvalue())
    assert {dialogue.required_facts for dialogue in dataset.read(path)} == {facts}
    remarks = dataset.survey(path).remarks
    assert len(remarks) == bool(remark)
    assert all(f"{path}:2: required_facts: {remark}" in each for each in remarks)


@pytest.mark.parametrize(
    ("name", "mark"), [("d.tsv", "\t"), ("d.csv", ";"), ("d.csv", "\t"), ("d.tsv.gz", "\t"), ("d.csv", ",")]
)
def test_the_header_tells_what_separates_the_cells(tmp_path: Path, name: str, mark: str) -> None:
    text = mark.join(["dialogue_id", "user", "tags"]) + "\n" + mark.join(["1", '"a, b; c\td"', "x|y"]) + "\n"
    path = write(tmp_path / name, gzip.compress(text.encode()) if name.endswith("gz") else text)
    (dialogue,) = dataset.read(path)
    assert (dialogue.user, dialogue.tags) == ("a, b; c\td", ("x", "y"))


CHAT = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": "u"},
    {"role": "assistant", "content": "a"},
]


@pytest.mark.parametrize(
    ("messages", "system", "expected"), [(CHAT, "s", "a"), (CHAT[:2], "s", None), (CHAT[1:], None, "a")]
)
def test_a_chat_file_is_read_as_it_is_meant(
    tmp_path: Path, messages: list[dict[str, str]], system: str | None, expected: str | None
) -> None:
    rows = [{"dialogue_id": f"d{number}", "messages": messages} for number in range(3)]
    for dialogue in dataset.read(write(tmp_path / "d.jsonl", as_lines(rows))):
        assert dialogue.messages is not None
        assert [(each.role, each.content) for each in dialogue.messages] == [("user", "u")]
        assert (dialogue.system, dialogue.expected) == (system, expected)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"messages": CHAT, "system": "other"}, "system: given twice, as a key and as a message"),
        ({"messages": CHAT, "expected": "b"}, "expected: given twice, as a key and as a message"),
        ({"messages": [*CHAT[:2], {"role": "assistant", "content": None}]}, "messages[2].content: the expected answer"),
        ({"messages": [{"role": "system", "content": [1]}, CHAT[1]]}, "messages[0].content: the system prompt must be"),
        ({"messages": CHAT[:1]}, "messages: none comes from the user"),
        ({"messages": [CHAT[1], CHAT[0], CHAT[1]]}, "messages[1].role: expected 'user' or 'assistant'"),
        ({"messages": [*CHAT, CHAT[2]]}, "messages: the last one before the expected answer must come from the user"),
    ],
)
def test_a_chat_file_that_can_be_read_in_two_ways_is_wrong(tmp_path: Path, row: Row, fault: str) -> None:
    (found,) = problems_of(write(tmp_path / "d.jsonl", as_lines([{"dialogue_id": "a", **row}])))
    assert fault in found.message


def test_equal_problems_are_told_together(tmp_path: Path) -> None:
    bad: list[Row] = [{"dialogue_id": f"d{number}", "user": number} for number in range(1, 20_000)]
    with pytest.raises(DatasetError) as caught:
        dataset.survey(write(tmp_path / "d.jsonl", as_lines([*bad, {"user": "x"}])))
    lines = str(caught.value).splitlines()
    assert len(lines) < 10
    assert "20,000 problems" in lines[0]
    assert lines[1].endswith("d.jsonl:1: user: expected a non-empty string, found 1 (a whole number)")
    assert lines[4].endswith("d.jsonl: and 997 more like it, at lines 4, 5, 6, 7, 8, …")


def test_a_file_that_stays_as_it_is_is_surveyed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "d.jsonl", as_lines([{"dialogue_id": "a", "user": "x"}]))
    looks: list[Path] = []
    really = dataset._survey

    def looked(path: Path, *, limit: int | None, fields: Any) -> dataset.Survey:
        looks.append(path)
        return really(path, limit=limit, fields=fields)

    monkeypatch.setattr(dataset, "_survey", looked)
    dataset.survey(path)
    dataset.survey(path)
    assert len(looks) == 2  # just written: it could be written again within the same tick of the clock
    for year in (2020, 2021):
        os.utime(path, (year, year))
        assert dataset.survey(path) is dataset.survey(path)
    assert len(looks) == 4
    assert dataset.survey(path, selection=Selection(limit=1)) is not dataset.survey(path)


@pytest.mark.parametrize("name", ["d.jsonl", "d.json", "d.csv", "d.jsonl.gz"])
def test_the_hash_is_of_the_whole_file(tmp_path: Path, name: str) -> None:
    rows = [{"dialogue_id": str(number), "user": "x" * 60} for number in range(10_000)]  # more than is read at once
    path = write(tmp_path / name, ENCODE[name.partition(".")[2]](rows))
    for limit in (None, 1, 2):
        survey = dataset.survey(path, selection=Selection(limit=limit))
        assert survey == dataset.Survey(
            count=limit or len(rows),
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            size=path.stat().st_size,
            absent=("required_facts", "expect_refusal", "expected"),
            toolless="0",
        )
        assert survey.sha256 == fingerprint(path)


def test_a_limit_leaves_what_follows_unchecked(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", b'{"dialogue_id": "a", "user": "x"}\nx\n')
    assert dataset.survey(path, selection=Selection(limit=1)).count == 1


def test_wrong_dialogues_count_for_the_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", b"x\ny\n")
    with pytest.raises(DatasetError) as caught:
        dataset.survey(path, selection=Selection(limit=1))
    assert [problem.line for problem in caught.value.problems] == [1]
