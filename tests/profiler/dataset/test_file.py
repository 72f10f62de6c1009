"""profiler.dataset.file: what a file may hold, what is said when it does not, and what reading it costs."""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import io
import itertools
import json
import os
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.errors import DatasetError, Problem, ProfilerError, UsageError
from profiler.core.nouns import Dialogue, Message
from profiler.dataset import file as dataset
from profiler.dataset.selection import Selection
from profiler.dataset.unchanged import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None
SWEEP = Path(__file__).parents[3] / "data" / "sweep_dialogues.jsonl"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a property; each overwrites its file."""
    return tmp_path_factory.mktemp("dataset")


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def as_lines(rows: list[Row]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def problems_of(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(DatasetError) as caught:
        dataset.survey(path)
    return caught.value.problems


def problem_of(path: Path) -> Problem:
    (problem,) = problems_of(path)
    return problem


def line_problem(tmp_path: Path, line: bytes | str) -> Problem:
    return problem_of(write(tmp_path / "d.jsonl", line))


# What is read


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


# What is refused, and where

REFUSED = [
    ('{"dialog_id": "a", "user": "x"}', "dialogue_id is missing", "did you mean 'dialogue_id'"),
    ('{"dialogue_id": "a", "prompt": "x"}', "one of user, messages and turns is needed", "'prompt'"),
    ('{"dialogue_id": "a", "user": "x", "turns": ["y"]}', "only one of user, messages and turns", None),
    ('{"dialogue_id": "", "user": "x"}', "dialogue_id: expected a non-empty string", None),
    ('{"dialogue_id": "a\\u0007", "user": "x"}', "control characters", None),
    ('{"dialogue_id": "' + "a" * 513 + '", "user": "x"}', "at most 512 characters, found 513", None),
    ('{"dialogue_id": 7.5, "user": "x"}', "found 7.5 (a number)", None),
    ('{"dialogue_id": true, "user": "x"}', "found true (a yes/no value)", None),
    ('{"dialogue_id": "a", "user": ""}', "user: expected a non-empty string, found an empty one", None),
    ('{"dialogue_id": "a", "turns": []}', "turns: expected a list of non-empty strings, found an empty list", None),
    ('{"dialogue_id": "a", "turns": ["x", ""]}', "turns[1]: expected a non-empty string", None),
    ('{"dialogue_id": "a", "messages": []}', "messages: expected a list of messages, found an empty list", None),
    ('{"dialogue_id": "a", "messages": [{"role": "tool", "content": "x"}]}', "messages[0].role: expected", None),
    ('{"dialogue_id": "a", "messages": [{"role": "user", "content": ""}]}', "messages[0].content: expected", None),
    (
        '{"dialogue_id": "a", "messages": [{"role": "user", "content": "x", "name": "b"}]}',
        "unknown key 'name', which would not be sent",
        None,
    ),
    (
        '{"dialogue_id": "a", "messages": [{"role": "assistant", "content": "x"}]}',
        "none comes from the user",
        None,
    ),
    ('{"dialogue_id": "a", "user": "x", "required_facts": "Paris"}', "required_facts: expected a list of", None),
    ('{"dialogue_id": "a", "user": "x", "required_facts": [""]}', "required_facts[0]: expected a non-empty", None),
    ('{"dialogue_id": "a", "user": "x", "expect_refusal": "yes"}', "expected true or false, found 'yes'", None),
    (
        '{"dialogue_id": "a", "user": "x", "expect_refusal": 1}',
        "expected true or false, found 1 (a whole number)",
        None,
    ),
    ('{"dialogue_id": "a", "user": "x", "tags": [1]}', "tags[0]: expected a string, found 1 (a whole number)", None),
    ('{"dialogue_id": "a", "user": "x", "system": {}}', "system: expected a string, found an empty mapping", None),
    ('{"dialogue_id": "a", "user": "x", "metadata": []}', "metadata: expected an object, found an empty list", None),
    ('{"dialogue_id": "a", "user": "x", "n": 1, "metadata": {"n": 2}}', "n: given twice", None),
    ('{"dialogue_id": "a", "user": "x", "n": ' + "9" * 30 + "}", "n: cannot be written to a log", None),
    ('{"dialogue_id": "a", "user": "x", "n": ' + "9" * 5000 + "}", "out of range", None),
    ('{"dialogue_id": "a", "user": "x", "n": ' + "[" * 250 + "]" * 250 + "}", "nested too deeply", None),
    ('{"dialogue_id": "a", "user": "x", "n": ' + "[" * 9999 + "]" * 9999 + "}", "nested too deeply", None),
    ("[1]", "expected a dialogue (an object", None),
    ("null", "found nothing (null)", None),
]


@pytest.mark.parametrize(("line", "message", "hint"), REFUSED)
def test_a_wrong_line_is_named_with_what_was_found(tmp_path: Path, line: str, message: str, hint: str | None) -> None:
    problem = line_problem(tmp_path, "\n" + line)
    assert message in problem.message
    assert problem.line == 2
    assert (hint or "") in (problem.hint or "")


UNREADABLE = [
    (b'{"dialogue_id": "a", "user": "x"', "ends in the middle", 33),
    (b'{"dialogue_id": "a", "user": "x"} y', "trailing characters", 35),
    (b'{"dialogue_id": "a", "user": NaN}', "invalid character", 30),
    (b'{"dialogue_id": "\xff", "user": "x"}', "not valid UTF-8: byte 0xff", 18),
    (b'{"dialogue_id": "a\x00", "user": "x"}', "invalid character", 19),
    ('{"dialogue_id": "äöü", "user": x}'.encode(), "invalid character", 32),
    (b'{"dialogue_id": "a", "user": "\\ud800"}', "half of a surrogate pair", 31),
    (b'{"dialogue_id": "a", "user": "\\udc00"}', "half of a surrogate pair", 31),
    (b"\xff\xfe{\x00", "not valid UTF-8", 1),
]


@pytest.mark.parametrize(("line", "message", "column"), UNREADABLE)
def test_bytes_that_are_not_json_are_shown_at_their_column(
    tmp_path: Path, line: bytes, message: str, column: int
) -> None:
    problem = line_problem(tmp_path, line)
    assert message in problem.message
    assert (problem.line, problem.column) == (1, column)


def test_a_whole_surrogate_pair_is_fine(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", '{"dialogue_id": "a", "user": "\\ud83d\\ude00"}')
    assert [dialogue.user for dialogue in dataset.read(path)] == ["😀"]


BROKEN_ARRAYS = [
    (b"", "the file is empty", (1, 1)),
    (b"  \n ", "the file is empty", (2, 2)),
    (b'{"dialogue_id": "a"}', "found an object", (1, 1)),
    (b'"x"', "found a string", (1, 1)),
    (b"[", "expected a dialogue, found the end of the file", (1, 2)),
    (b"[]", "the dataset is empty", None),
    (b"[,]", "expected a dialogue, found ','", (1, 2)),
    (b'[{"dialogue_id": "a", "user": "x"},\n]', "expected a dialogue, found ']'", (2, 1)),
    (b'[{"dialogue_id": "a", "user": "x"}', "expected ',' or ']' after a dialogue", (1, 35)),
    (b'[{"dialogue_id": "a", "user": "x"}] x', "expected nothing after the array", (1, 37)),
    (b'[\n{"dialogue_id": "a",\n "user": "x}]', "never closed", (2, 1)),
    (b'[\n{"dialogue_id": "a",\n "user": x}]', "invalid character", (3, 10)),
    (b'["dialogue"]', "expected a dialogue (an object", (1, None)),
    (b'["dialogue', "never closed", (1, 2)),
    (b"[1, 2", "found 1 (a whole number)", (1, None)),
    (b'[\n{"dialogue_id": "a" "user": "x}]', "expected ',' or '}'", (2, 21)),
]


@pytest.mark.parametrize(("data", "message", "place"), BROKEN_ARRAYS)
def test_an_array_that_is_not_one_is_shown_at_its_place(
    tmp_path: Path, data: bytes, message: str, place: tuple[int, int | None] | None
) -> None:
    problem = problems_of(write(tmp_path / "d.json", data))[0]
    assert message in problem.message
    assert place in {None, (problem.line, problem.column)}


BROKEN_TABLES = [
    (b"", "the file is empty", 1),
    (b"dialogue_id,user\n", "the dataset is empty", None),
    (b"dialogue_id,user\n\na,x,y\n", "expected 2 cells as in the header, found 3", 3),
    (b"dialogue_id,user,user\na,x,y\n", "column 'user' appears 2 times", 1),
    (b"dialogue_id,user,\na,x,y\n", "column 3 has no name", 1),
    (b"id,user\na,x\n", "in the header: dialogue_id is missing", 1),
    (b"dialogue_id,prompt\na,x\n", "in the header: one of user, messages and turns", 1),
    (b'dialogue_id,user\na,"x\ny\n', "not valid CSV in the row that starts here", 2),
    (b"dialogue_id,user\na,x\nb,\xff\n", "not valid UTF-8: byte 0xff", 3),
    (b"dialogue_id,user\na,\x00\n", "a NUL byte", 2),
    (b'dialogue_id,messages\n"a",[1\n', "messages: not valid JSON", 2),
    (b"dialogue_id,user,expect_refusal\na,x,maybe\n", "expected true or false, found 'maybe'", 2),
    (b'dialogue_id,user\n"a\nb",x\nc,\n', "control characters", 2),
]


@pytest.mark.parametrize(("data", "message", "line"), BROKEN_TABLES)
def test_a_wrong_table_is_named_with_its_line(tmp_path: Path, data: bytes, message: str, line: int | None) -> None:
    problem = problems_of(write(tmp_path / "d.csv", data))[0]
    assert message in problem.message
    assert problem.line == line


def test_all_problems_of_a_file_are_told_in_their_order(tmp_path: Path) -> None:
    good = '{"dialogue_id": "a", "user": "x"}\n'
    found = problems_of(write(tmp_path / "d.jsonl", good + "x\n" + good + '{"user": 1}\n'))
    assert [problem.line for problem in found] == [2, 3, 4, 4]


def test_a_thousand_problems_are_kept_and_the_rest_counted(tmp_path: Path) -> None:
    found = problems_of(write(tmp_path / "d.jsonl", b"x\n" * 2_500))
    assert found[0].message == "2,500 problems, of which the first 1,000 are listed"
    assert len(found) == 1_001


def test_a_thousand_duplicates_are_kept_and_the_rest_counted(tmp_path: Path) -> None:
    found = problems_of(write(tmp_path / "d.jsonl", b'{"dialogue_id": "a", "user": "x"}\n' * 2_501))
    assert found[0].message == "2,500 problems, of which the first 1,000 are listed"


def test_reading_stops_at_the_first_wrong_dialogue(tmp_path: Path) -> None:
    rows = dataset.read(write(tmp_path / "d.jsonl", b'{"dialogue_id": "a", "user": "x"}\nx\n'))
    assert next(rows).dialogue_id == "a"
    with pytest.raises(DatasetError, match=r"d\.jsonl:2:1"):
        next(rows)


def test_both_places_of_a_duplicate_are_named(tmp_path: Path) -> None:
    rows = [{"dialogue_id": str(number), "user": "x"} for number in [1, 2, 3, 2]]
    problem = line_problem(tmp_path, as_lines(rows))
    assert (problem.line, problem.message) == (4, "dialogue_id '2' at line 4 was already used at line 2")


def test_duplicates_are_found_at_any_distance(tmp_path: Path) -> None:
    rows = [{"dialogue_id": str(number), "user": "x"} for number in range(150_000)]
    problem = line_problem(tmp_path, as_lines([*rows, rows[3]]))
    assert (problem.line, problem.message) == (150_001, "dialogue_id '3' at line 150001 was already used at line 4")


@pytest.mark.parametrize("name", ["missing.jsonl", "folder.jsonl", "nul\0.jsonl", "x" * 300 + ".jsonl"])
def test_a_path_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    for act in (dataset.survey, fingerprint, lambda path: list(dataset.read(path))):
        with pytest.raises(DatasetError, match=f"{name}: cannot be read"):
            act(tmp_path / name)


def test_an_unknown_suffix_is_named_with_the_known_ones(tmp_path: Path) -> None:
    problem = problem_of(write(tmp_path / "d.txt", "x"))
    assert ".jsonl" in problem.message


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "d.jsonl")
    assert "not a regular file" in problem_of(tmp_path / "d.jsonl").message


def test_a_negative_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="start"):
        dataset.read(tmp_path / "d.jsonl", start=-1)


def test_without_pyarrow_parquet_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError) as caught:
        dataset.survey(write(tmp_path / "d.parquet", b"PAR1"))
    assert caught.value.hint == "pip install 'experiment-profiler[parquet]'"


def test_a_gzip_cut_short_is_a_problem(tmp_path: Path) -> None:
    data = gzip.compress(as_lines([{"dialogue_id": str(number), "user": "x"} for number in range(1000)]))
    assert "cannot be read" in problem_of(write(tmp_path / "d.jsonl.gz", data[:-20])).message


# What a survey says


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


# Properties


def as_csv(rows: list[Row]) -> bytes:
    names = list(dict.fromkeys(itertools.chain(["dialogue_id", "user"], *rows)))
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(names)
    for row in rows:
        table.writerow([_cell(row.get(name)) for name in names])
    return text.getvalue().encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


ENCODE: dict[str, Callable[[list[Row]], bytes]] = {
    "jsonl": as_lines,
    "json": lambda rows: json.dumps(rows).encode(),
    "JSON": lambda rows: json.dumps(rows, indent=2, ensure_ascii=False).encode(),
    "csv": as_csv,
    "jsonl.gz": lambda rows: gzip.compress(as_lines(rows)),
}
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)
TEXTS = st.lists(TEXT, min_size=1, max_size=3)
ID = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20)
MESSAGES = TEXTS.map(lambda texts: [{"role": "user", "content": text} for text in texts])
QUESTION = st.one_of(
    st.fixed_dictionaries({"user": TEXT}),
    st.fixed_dictionaries({"turns": TEXTS}),
    st.fixed_dictionaries({"messages": MESSAGES}),
)
OPTIONAL = st.fixed_dictionaries(
    {},
    optional={
        "system": TEXT,
        "required_facts": TEXTS,
        "tags": TEXTS,
        "expect_refusal": st.booleans(),
        "metadata": st.dictionaries(TEXT.map(lambda key: "m" + key), st.integers(-9, 9), min_size=1, max_size=3),
        "own": TEXT,
    },
)
ROWS = st.lists(
    st.builds(lambda name, ask, rest: {"dialogue_id": name, **ask, **rest}, ID, QUESTION, OPTIONAL),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row["dialogue_id"],
)


@given(rows=ROWS, start=st.integers(0, 9))
@settings(max_examples=60)
def test_every_format_reads_the_same_from_any_start(folder: Path, rows: list[Row], start: int) -> None:
    expected = list(dataset.read(write(folder / "d.jsonl", as_lines(rows))))
    assert [dialogue.dialogue_id for dialogue in expected] == [row["dialogue_id"] for row in rows]
    for suffix, encode in ENCODE.items():
        path = write(folder / f"d.{suffix}", encode(rows))
        assert list(dataset.read(path)) == expected
        assert list(dataset.read(path, start=start)) == expected[start:]
        assert dataset.survey(path).count == len(expected)


@pytest.mark.skipif(not HAS_PYARROW, reason="pyarrow, an optional extra, is not installed")
@given(rows=ROWS, start=st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_parquet_reads_like_json_lines(folder: Path, rows: list[Row], start: int) -> None:
    pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    expected = list(dataset.read(write(folder / "d.jsonl", as_lines(rows))))
    table = [
        {key: json.dumps(value) if key in {"metadata", "messages"} else value for key, value in row.items()}
        for row in rows
    ]
    names = dict.fromkeys(itertools.chain(*table))
    path = folder / "d.parquet"
    columns = {name: [row.get(name) for row in table] for name in names}
    parquet.write_table(pyarrow.table(columns), path, row_group_size=2)
    assert list(dataset.read(path)) == expected
    assert list(dataset.read(path, start=start)) == expected[start:]
    assert dataset.survey(path).sha256 == fingerprint(path)


@pytest.mark.skipif(not HAS_PYARROW, reason="pyarrow, an optional extra, is not installed")
@given(data=st.binary(max_size=200))
@settings(deadline=None)
def test_what_is_not_parquet_is_a_problem(folder: Path, data: bytes) -> None:
    for content in (data, b"PAR1" + data + b"PAR1"):
        assert "not a Parquet file" in problems_of(write(folder / "d.parquet", content))[0].message


@st.composite
def damaged(draw: st.DrawFn, suffix: str) -> bytes:
    """A good file with a few bytes replaced, removed or put in."""
    data = bytearray(ENCODE[suffix](draw(ROWS)))
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(data))), draw(st.integers(0, 4))
        data[at : at + length] = draw(
            st.sampled_from([b'"', b"}", b"]", b"\\", b"{", b"\n", b"\xff", b"\0", b"1", b""])
        )
    return bytes(data)


@pytest.mark.parametrize("suffix", ENCODE)
@given(data=st.data())
@settings(max_examples=60)
def test_a_damaged_file_is_read_or_refused_with_a_place(folder: Path, suffix: str, data: st.DataObject) -> None:
    content = data.draw(st.one_of(st.binary(max_size=60), damaged(suffix)))
    path = write(folder / f"damaged.{suffix}", content)
    try:
        survey = dataset.survey(path)
    except DatasetError as error:
        problems = error.problems
    else:
        problems = ()
        assert len(list(dataset.read(path))) == survey.count
    assert all(problem.path == str(path) for problem in problems)
    assert all(problem.line or "empty" in problem.message or suffix == "jsonl.gz" for problem in problems)


# Cost


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = tmp_path / f"{count}.jsonl"
        with path.open("wb") as file:
            file.writelines(b'{"dialogue_id":"%d","user":"x"}\n' % number for number in range(count))
        tracemalloc.start()
        assert dataset.survey(path).count == count
        assert sum(1 for _ in dataset.read(path)) == count
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(200_000) < 4_000_000


@pytest.mark.parametrize("name", ["d.json", "d.csv"])
def test_arrays_and_tables_are_streamed_too(tmp_path: Path, name: str) -> None:
    rows = [{"dialogue_id": str(number), "user": "x" * 500} for number in range(20_000)]
    path = write(tmp_path / name, ENCODE[name.partition(".")[2]](rows))
    tracemalloc.start()
    assert sum(1 for _ in dataset.read(path)) == len(rows)
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert highest < 2_000_000 < path.stat().st_size


def test_a_line_without_end_costs_bounded_memory_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.dataset.formats.LONGEST", 1 << 20)
    path = write(tmp_path / "d.jsonl", b'{"dialogue_id": "a", "user": "' + b"x" * (3 << 20) + b'"}\n')
    assert "longer than 1 MiB" in problem_of(path).message


def test_every_error_is_one_a_command_can_answer() -> None:
    assert issubclass(DatasetError, ProfilerError)


@pytest.mark.parametrize(
    "selection", [Selection(sample=7), Selection(sample=9, limit=4), Selection(tags=("t",)), Selection()]
)
def test_what_is_selected_is_read_on_from_any_place(tmp_path: Path, selection: Selection) -> None:
    rows: list[Row] = [{"dialogue_id": f"d{n}", "user": "x", "tags": ["t"] if n % 3 else []} for n in range(30)]
    path = write(tmp_path / "d.jsonl", as_lines(rows))

    def ids(start: int) -> list[str]:
        with dataset.reading(path, start=start, selection=selection) as dialogues:
            return [each.dialogue_id for each in dialogues]

    whole = ids(0)
    assert 3 < len(whole) <= 30
    if not selection.is_all:
        assert dataset.survey(path, selection=selection).count == len(whole)
    for start in range(len(whole) + 1):
        assert ids(start) == whole[start:]
