from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from profiler.core.errors import ManifestError, Problem
from profiler.manifest import yaml_reader
from profiler.manifest.source import MAX_BYTES, Document


def read(text: str | bytes) -> Document:
    return yaml_reader.read(text.encode() if isinstance(text, str) else text, name="m.yaml")


def refused(text: str | bytes) -> Problem:
    with pytest.raises(ManifestError) as caught:
        read(text)
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-1.5E-2", -0.015),
        ("-.inf", float("-inf")),
        ("1:30", "1:30"),
        ("2026-11-21", "2026-11-21"),
        ("1_000", "1_000"),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("=", "="),
    ],
)
def test_plain_scalars_follow_the_core_rules_of_yaml_1_2(text: str, value: Any) -> None:
    got = read(f"key: {text}").value["key"]
    assert (got, type(got)) == (value, type(value))


def test_every_key_and_value_knows_its_line_and_column() -> None:
    document = read("mock:\n  stalls: {a: 1, b: [2, 3]}\n")
    assert document.keys[("mock", "stalls")] == (2, 3)
    assert document.values[("mock", "stalls", "b", 1)] == (2, 25)


def test_what_was_never_written_is_placed_at_its_parent() -> None:
    assert read("a: 1\nb:\n  c: 2\n").place(("b", "missing", 3)) == (3, 3)


def test_a_byte_order_mark_does_not_shift_places() -> None:
    document = read(b"\xef\xbb\xbfkey: 1\n")
    assert (document.value, document.keys[("key",)]) == ({"key": 1}, (1, 1))
    assert refused(b"\xef\xbb\xbfa: b: c").source == "a: b: c"


def test_a_duplicate_key_is_placed_at_its_second_writing() -> None:
    [problem] = read("a: 1\nb: 2\na: 3\n").problems
    assert (problem.line, problem.column) == (3, 1)
    assert "first on line 1" in problem.message


@pytest.mark.parametrize("key", ["1", "true", "null", "1.5", "[a]", "{a: b}", "? [x]\n"])
def test_a_key_that_is_not_text_is_a_problem(key: str) -> None:
    [problem] = read(f"{key}: x").problems
    assert "as a key, expected text" in problem.message


def test_merge_keys_fill_in_what_the_mapping_does_not_say() -> None:
    document = read("base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\nuse:\n  <<: [*b, *o]\n  x: 9\n")
    assert document.value["use"] == {"x": 9, "y": 2, "z": 4}
    assert document.values[("use", "y")] == (1, 20)


def test_a_quoted_merge_sign_is_an_ordinary_key() -> None:
    assert read("'<<': 1").value == {"<<": 1}


def test_a_merge_of_something_else_than_a_mapping_is_a_problem() -> None:
    assert "merge key" in read("a: {<<: 3}").problems[0].message


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 12)
)
LADDER = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 3000))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"key: \xff", id="not UTF-8"),
        pytest.param("key: 1".encode("utf-16"), id="UTF-16"),
        pytest.param("a: b\0c", id="NUL"),
        pytest.param("a: \x1b[31m", id="escape"),
        pytest.param("a: !!python/object:os.system x", id="python tag"),
        pytest.param("!!set {a, b}", id="set tag"),
        pytest.param("a: !own x", id="own tag"),
        pytest.param("a: &x [*x]", id="recursion"),
        pytest.param("a: *nowhere", id="unknown alias"),
        pytest.param("[" * 100_000, id="deep flow"),
        pytest.param("- " * 5_000 + "x", id="deep blocks"),
        pytest.param("a: 1\n---\nb: 2\n", id="two documents"),
        pytest.param("a: 1\n...\n%", id="rubbish after the end"),
        pytest.param("a: [1, 2", id="unclosed"),
        pytest.param("a:\n\t- b", id="tab"),
        pytest.param("a: b: c", id="two colons"),
        pytest.param('a: "\\ud800"', id="surrogate"),
        pytest.param("a: " + "9" * 5_000, id="endless number"),
        pytest.param("a: 0x" + "f" * 5_000, id="endless hex"),
        pytest.param("%YAML 9.9\n---\na", id="another YAML"),
        pytest.param(BOMB, id="billion laughs"),
        pytest.param(MERGE_BOMB, id="merge bomb"),
        pytest.param(LADDER, id="ladder of aliases"),
        pytest.param("[" + "1," * 10_001 + "]", id="too many values"),
    ],
)
@pytest.mark.parametrize("parser", ["CSafeLoader", "SafeLoader"])
def test_hostile_yaml_is_refused_with_a_place_and_soon(
    text: str | bytes, parser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(yaml, parser):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(yaml_reader, "_PARSER", getattr(yaml, parser))
    monkeypatch.setattr(yaml_reader, "MAX_NODES", 10_000)
    began = time.perf_counter()
    problem = refused(text)
    assert problem.line is not None
    assert problem.column is not None
    assert time.perf_counter() - began < 30


def test_a_file_of_many_megabytes_is_refused() -> None:
    assert "expected a manifest" in refused(b" " * (MAX_BYTES + 1)).message


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in str(refused("a: \x1b[31mred"))


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: 1\nb 2\nc: 3\n", (2, 1), "a key without ':' behind it"),
        ("a: b: c\n", (1, 5), "a ':' where no value can follow"),
        ("a: 1\n b: 2\n", (2, 3), "a ':' where no value can follow"),
        ('a: "one\nb: 2\n', (1, 4), "a text in quotes that does not end"),
        ("a: @x\n", (1, 4), "a character with which no text may begin"),
        ("a: [1, 2\nb: 3\n", (1, 4), "a list without ',' or ']' where one is needed"),
        ("a: {x: 1\nb: 3\n", (1, 4), "a mapping without ',' or '}' where one is needed"),
        ("a:\n  - 1\n  b: 2\n", (3, 3), "something that is no further item of the list above"),
        ("a: 'it's'\n", (1, 8), "something that is neither a key nor a part of the value before it"),
    ],
)
@pytest.mark.parametrize("parser", ["CSafeLoader", "SafeLoader"])
def test_a_slip_in_the_yaml_is_told_in_plain_words_where_it_is(
    monkeypatch: pytest.MonkeyPatch, parser: str, text: str, place: tuple[int, int], words: str
) -> None:
    monkeypatch.setattr(yaml_reader, "_PARSER", getattr(yaml, parser))
    problem = refused(text)
    assert (problem.line, problem.column) == place
    assert problem.message == f"found text that is not YAML: {words}"


def test_a_tab_indent_is_told_what_to_do() -> None:
    problem = refused("a:\n\tb: 1")
    assert (problem.line, problem.column, problem.message) == (2, 1, "found a tab where YAML allows none")
    assert problem.hint == "indent with spaces, not tabs"


def test_an_empty_file_has_no_value() -> None:
    assert read("# only a comment\n").value is None


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_or_refused_with_a_place(data: bytes) -> None:
    try:
        problems = tuple(read(data).problems)
    except ManifestError as error:
        problems = error.problems
    assert all(problem.line and problem.column for problem in problems)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_JSON)
def test_json_is_read_as_the_values_it_means(value: Any) -> None:
    text = json.dumps({"key": value}, ensure_ascii=False)
    assume(not _unfriendly(text))
    assert read(text).value == {"key": value}


def _unfriendly(text: str) -> bool:
    """Characters that JSON leaves bare and YAML reads as line breaks or refuses."""
    return any(not c.isprintable() for c in text)
