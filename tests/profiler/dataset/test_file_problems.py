"""profiler.dataset.file: what is said of a file that is no dataset, and where."""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import pytest

from profiler.core.errors import DatasetError, UsageError
from profiler.dataset import file as dataset
from profiler.dataset.unchanged import fingerprint
from tests.profiler.dataset.files import as_lines, line_problem, problem_of, problems_of, write

REFUSED = [
    ('{"dialog_id": "a", "user": "x"}', "dialogue_id is missing", "did you mean 'dialogue_id'"),
    ('{"user": "x"}', "dialogue_id is missing", "dataset_fields: {dialogue_id: {line: true}}"),
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
