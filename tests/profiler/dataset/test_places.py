from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.errors import DatasetError
from profiler.dataset import file
from profiler.dataset.places import has_places, places, reading_from, reading_lines, write_lines
from profiler.dataset.selection import ALL, Selection

FIELDS: dict[str, Any] = {"user": "question", "dialogue_id": {"line": True}}


@given(
    rows=st.lists(st.sampled_from(["row", "", "  ", "é"]), min_size=1, max_size=30).filter(
        lambda rows: any(map(str.strip, rows))
    ),
    every=st.integers(1, 7),
    mark=st.booleans(),
    ends=st.booleans(),
)
def test_reading_from_any_place_gives_the_dialogues_that_reading_the_whole_file_gives(
    rows: list[str], every: int, mark: bool, ends: bool
) -> None:
    lines = [json.dumps({"question": f"{row} {number}"}) if row.strip() else row for number, row in enumerate(rows)]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "d.jsonl"
        path.write_bytes(b"\xef\xbb\xbf" * mark + "\n".join(lines).encode() + b"\n" * ends)
        whole = list(file.read(path, fields=FIELDS))
        found = places(path, every=every, count=len(whole))
        assert [place.dialogue for place in found] == list(range(0, len(whole), every))
        for place in found:
            for skip in {0, 1, every}:
                with reading_from(path, place, skip=skip, fields=FIELDS) as rest:
                    assert list(rest) == whole[place.dialogue + skip :]


def test_a_file_of_any_other_kind_or_a_selection_is_written_down_and_read_back(tmp_path: Path) -> None:
    path, copy = tmp_path / "d.json", tmp_path / "lines"
    rows = [
        {"dialogue_id": "a", "user": "u", "own": {"x": 1.0}, "expected": 1.0, "tags": ["t"]},
        {"dialogue_id": "b", "messages": [{"role": "user", "content": [{"type": "text", "text": "ü\n"}]}]},
        {"dialogue_id": "c", "turns": ["1", "2"], "system": "", "expect_refusal": False, "expected": {"k": [1, None]}},
        {"dialogue_id": "e", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")
    whole = list(file.read(path))
    for selection, wanted in (
        (ALL, whole),
        (Selection(ids=("c", "a")), [whole[0], whole[2]]),
        (Selection(limit=3), whole[:3]),
    ):
        write_lines(path, copy, fields=None, selection=selection, count=len(wanted))
        (first, *_, last) = places(copy, every=1, count=len(wanted))
        with reading_lines(copy, first, skip=0) as dialogues:
            assert list(dialogues) == wanted
        with reading_lines(copy, last, skip=0) as dialogues:
            assert list(dialogues) == wanted[-1:]
    assert (has_places(path, ALL), has_places(Path("d.jsonl"), ALL)) == (False, True)
    assert has_places(Path("d.jsonl"), Selection(limit=1))
    assert not has_places(Path("d.jsonl"), Selection(sample=1))


def test_a_file_that_has_become_shorter_has_no_such_places(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"dialogue_id": "a", "user": "u"}\n')
    with pytest.raises(DatasetError, match="found 1 dialogues, expected 2: the file changed"):
        places(path, every=1, count=2)
