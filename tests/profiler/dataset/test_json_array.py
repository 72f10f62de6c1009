"""profiler.dataset.json_array: the elements of an array are cut where they end, whatever they hold."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.dataset import json_array

LONGEST = 1 << 30
TRICKY = st.text(st.sampled_from('{}[]",:\\ \nä😀x'), max_size=12)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(TRICKY, st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TRICKY, inner, max_size=3)),
    max_leaves=8,
)


def cut(text: str) -> list[json_array.Element]:
    return list(json_array.elements(io.BytesIO(text.encode()), longest=LONGEST))


@given(
    values=st.lists(VALUES, max_size=6),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
    chunk=st.sampled_from([1, 7, 1 << 16]),
)
@settings(max_examples=300, deadline=None)
def test_elements_are_those_of_the_array(
    *, values: list[Any], indent: int | None, ascii_only: bool, chunk: int
) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "CHUNK", chunk)
        found = cut(text)
    assert [json.loads(element.raw) for element in found] == values
    lines = text.split("\n")
    for element in found:
        here = "\n".join([lines[element.line - 1][element.column - 1 :], *lines[element.line :]])
        assert here.startswith(element.raw.decode())


@pytest.mark.parametrize(
    "element",
    [
        r'{"dialogue_id":"\\","user":"}"}',  # the backslash is escaped, so the quote after it ends the string
        r'{"dialogue_id":"\"}","user":"}"}',
        r'{"dialogue_id":"\\\"}","user":"x"}',
        r'{"dialogue_id":"a","user":"}\\"}',
    ],
)
@pytest.mark.parametrize("chunk", [1, 1 << 16])
def test_a_brace_in_a_string_ends_nothing_whatever_backslashes_stand_before_its_quotes(
    monkeypatch: pytest.MonkeyPatch, element: str, chunk: int
) -> None:
    monkeypatch.setattr(json_array, "CHUNK", chunk)
    assert [each.raw.decode() for each in cut(f"[{element},{element}]")] == [element, element]


class Watched:
    """The expression that looks for brackets, and how many bytes it was given to look at."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self.looked_at = 0
        self._pattern = pattern

    def match(self, data: bytes, position: int) -> re.Match[bytes] | None:
        self.looked_at += len(data) - position
        return self._pattern.match(data, position)


def test_an_element_of_any_size_is_looked_at_no_more_than_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(json_array._TO_BRACKET)
    monkeypatch.setattr(json_array, "_TO_BRACKET", watched)
    text = json.dumps([{"user": "x{" * 2_000_000, "n": {}}])
    assert len(cut(text)) == 1
    assert watched.looked_at < 6 * len(text)


def test_an_element_beyond_the_limit_is_broken_there() -> None:
    text = '[1,\n{"user": "' + "x" * 300_000 + '"}]'
    with pytest.raises(json_array.Broken, match="longer than 0 MiB") as caught:
        list(json_array.elements(io.BytesIO(text.encode()), longest=1000))
    assert (caught.value.line, caught.value.column) == (2, 1)
