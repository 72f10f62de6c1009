from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.errors import DatasetError
from profiler.dataset import file
from profiler.dataset.selection import Selection
from profiler.manifest.settings import LineNumber

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from profiler.core.nouns import Dialogue

Rows = list[dict[str, Any]]
LINE = LineNumber(line=True)
QUESTIONS: Rows = [
    {"question": "How many legs has a spider?", "answer": "8", "level": "easy"},
    {"question": "How many has an ant?", "answer": "6", "level": "hard"},
]
FIELDS: dict[str, Any] = {"user": "question", "expected": "answer", "dialogue_id": LINE}


def json_lines(folder: Path, rows: Rows) -> Path:
    path = folder / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def json_array(folder: Path, rows: Rows) -> Path:
    path = folder / "q.json"
    path.write_text(json.dumps(rows))  # all on one line
    return path


def comma_separated(folder: Path, rows: Rows) -> Path:
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    path = folder / "q.csv"
    path.write_text(text.getvalue())
    return path


def parquet(folder: Path, rows: Rows) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    tables = pytest.importorskip("pyarrow.parquet")
    path = folder / "q.parquet"
    tables.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


FORMATS = [(json_lines, ["1", "2"]), (json_array, ["1", "2"]), (comma_separated, ["2", "3"]), (parquet, ["1", "2"])]


@pytest.mark.parametrize(("write", "ids"), FORMATS)
def test_a_file_with_other_names_is_read_in_every_format(
    tmp_path: Path, write: Callable[[Path, Rows], Path], ids: list[str]
) -> None:
    path = write(tmp_path, QUESTIONS)

    dialogues = list(file.read(path, fields=FIELDS))
    assert [each.user for each in dialogues] == [row["question"] for row in QUESTIONS]
    assert [each.expected for each in dialogues] == ["8", "6"]
    assert [each.metadata for each in dialogues] == [{"level": "easy"}, {"level": "hard"}]
    assert [each.dialogue_id for each in dialogues] == ids  # the header of a table stands on line 1
    assert list(file.read(path, start=1, fields=FIELDS)) == dialogues[1:]  # a resumed run counts the same lines
    assert file.survey(path, fields=FIELDS).count == 2


def test_the_number_of_a_line_is_the_one_that_an_editor_shows(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"q": "a"}\n\n\n{"q": "b"}\n')
    assert [each.dialogue_id for each in file.read(path, fields={"user": "q", "dialogue_id": LINE})] == ["1", "4"]


def the_one(tmp_path: Path, row: dict[str, Any], fields: dict[str, Any]) -> Dialogue:
    (dialogue,) = file.read(json_lines(tmp_path, [row]), fields=fields)
    return dialogue


def test_a_key_with_one_of_our_names_that_is_read_from_elsewhere_is_metadata(tmp_path: Path) -> None:
    row = {"id": 7, "user": "Ann", "q": "x", "metadata": {"a": 1}}
    dialogue = the_one(tmp_path, row, {"user": "q", "dialogue_id": "id"})
    assert (dialogue.user, dialogue.dialogue_id) == ("x", "7")
    assert dialogue.metadata == {"a": 1, "user": "Ann"}


def test_names_may_be_swapped(tmp_path: Path) -> None:
    dialogue = the_one(tmp_path, {"dialogue_id": "a", "system": "u", "user": "s"}, {"user": "system", "system": "user"})
    assert (dialogue.user, dialogue.system, dialogue.metadata) == ("u", "s", {})


@pytest.mark.parametrize("write", [json_lines, json_array, parquet])
def test_a_row_without_what_is_asked_says_which_key_it_lacks(
    tmp_path: Path, write: Callable[[Path, Rows], Path]
) -> None:
    path = write(tmp_path, [{"questoin": "x", "answer": "y"}])
    with pytest.raises(DatasetError) as caught:
        file.survey(path, fields=FIELDS)
    (problem,) = caught.value.problems
    assert problem.message == "found no 'question', from which dataset_fields reads user"
    assert problem.hint == "did you mean 'questoin'?"


def test_a_table_without_a_named_column_is_refused_once(tmp_path: Path) -> None:
    path = comma_separated(tmp_path, [{"question": "x", "anwser": "y"}] * 5)
    with pytest.raises(
        DatasetError, match="in the header: found no 'answer', from which dataset_fields reads expected"
    ):
        file.survey(path, fields=FIELDS)


def test_a_key_that_no_row_has_is_a_slip(tmp_path: Path) -> None:
    path = json_lines(tmp_path, [{"question": "x", "answers": "y"}] * 3)
    with pytest.raises(DatasetError, match="no row has a value for 'answer', from which dataset_fields reads expected"):
        file.survey(path, fields=FIELDS)


def test_a_key_that_some_rows_lack_is_none(tmp_path: Path) -> None:
    rows: Rows = [{"question": "x", "answer": None}, {"question": "x", "answer": "y"}, {"question": "x"}]
    found = [each.expected for each in file.read(json_lines(tmp_path, rows), fields=FIELDS)]
    assert found == [None, "y", None]
    assert file.survey(json_lines(tmp_path, rows), selection=Selection(limit=1), fields=FIELDS).count == 1


def test_lists_of_a_table_are_read_by_what_they_become(tmp_path: Path) -> None:
    path = comma_separated(tmp_path, [{"id": "a", "question": "x", "key points": "one|two"}])
    fields = {"dialogue_id": "id", "user": "question", "required_facts": "key points"}
    (dialogue,) = file.read(path, fields=fields)
    assert dialogue.required_facts == ("one", "two")
    assert dialogue.metadata == {}


@pytest.mark.parametrize("expected", ["text", "", 3, 2.5, {"a": [1]}, ["one", "other"]])
def test_what_is_expected_is_kept_as_it_is(tmp_path: Path, expected: Any) -> None:
    for own in ({}, {"level": 3}):  # the quick way and the general one
        assert (
            the_one(tmp_path, {"dialogue_id": "a", "user": "x", "expected": expected, **own}, {}).expected == expected
        )


@pytest.mark.parametrize("expected", [True, [], [1], ["a", None], 2**70, {"a": 2**70}])
def test_what_nothing_can_be_compared_with_is_wrong(tmp_path: Path, expected: Any) -> None:
    for own in ({}, {"level": 3}):
        with pytest.raises(DatasetError, match="expected"):
            the_one(tmp_path, {"dialogue_id": "a", "user": "x", "expected": expected, **own}, {})


def test_a_hint_tells_of_dataset_fields(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        file.survey(json_lines(tmp_path, [{"dialogue_id": "a", "question": "x"}]))
    assert "dataset_fields: {user: question}" in (caught.value.problems[0].hint or "")
