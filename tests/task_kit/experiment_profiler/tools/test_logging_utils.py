from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.logging_utils import JsonlWriter, LogError, dumps, loads, read_jsonl, write_json

if TYPE_CHECKING:
    from pathlib import Path

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
records = st.dictionaries(text, values, max_size=4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(records, max_size=4))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, written: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    with JsonlWriter(path) as log:
        for record in written:
            log.write(record)

    assert list(read_jsonl(path)) == written


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"a": 1, "a": 2}\n', "found the key 'a' twice"),
        (b'{"a": {"b": 1, "c": 2, "b": 1}}\n', "found the key 'b' twice"),
        (b'{"a": NaN}\n', "found NaN"),
        (b'{"a": -Infinity}\n', "found -Infinity"),
        (b'{"a": 1e999}\n', "too large"),
        (b"[1]\n", "found list, expected an object"),
        (b'{"a": "\xff"}\n', "not strict JSON"),
        (b"\n", "not strict JSON"),
        (b"[" * 100_000 + b"\n", "nested too deeply"),
        (b'{"a": 1}', "without its end"),
    ],
)
def test_a_bad_line_is_an_error_with_its_place(tmp_path: Path, line: bytes, complaint: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"good": 1}\n' + line)

    with pytest.raises(LogError, match=r"log\.jsonl:2: ") as caught:
        list(read_jsonl(path))

    assert complaint in str(caught.value)


def test_lines_before_a_bad_one_are_given(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"good": 1}\n{"torn')

    assert next(read_jsonl(path)) == {"good": 1}


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    record = {"text": "\u2028\u2029\x85\x0b\x1c\r\r\n"}
    with JsonlWriter(tmp_path / "log.jsonl") as log:
        log.write(record)

    assert (tmp_path / "log.jsonl").read_bytes().count(b"\n") == 1
    assert list(read_jsonl(tmp_path / "log.jsonl")) == [record]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_not_written(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps({"a": number})


def test_a_missing_log_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"gone\.jsonl: cannot be read"):
        next(read_jsonl(tmp_path / "gone.jsonl"))


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"a": 1})

    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})

    assert json.loads(path.read_bytes()) == {"a": 1}
    assert [found.name for found in tmp_path.iterdir()] == ["summary.json"]


def test_numbers_keep_their_kind() -> None:
    assert [type(value) for value in loads(b'[1, 1.0, true, "1"]')] == [int, float, bool, str]
