from __future__ import annotations

import pytest

from profiler.core.wording import did_you_mean, found


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing (null)"),
        (True, "true (a yes/no value)"),
        ("x", "'x' (a string)"),
        ("x" * 99, "'" + "x" * 59 + "… (a string)"),
        (7, "7 (a whole number)"),
        (0.5, "0.5 (a number)"),
        pytest.param(10**5000, "a huge number", id="huge"),
        ([], "an empty list"),
        (("a", "b"), "a list of 2"),
        ({}, "an empty mapping"),
        ({"a": 1}, "a mapping of 1"),
        (b"x", "b'x' (a value of type bytes)"),
    ],
)
def test_a_value_is_said_with_its_kind(value: object, words: str) -> None:
    assert found(value) == words


def test_a_mistyped_word_gets_the_nearest_known_one_or_none() -> None:
    assert did_you_mean("brevty", ["length", "brevity"]) == "did you mean 'brevity'?"
    assert did_you_mean("quite_different", ["brevity"]) is None
    assert did_you_mean(3, ["brevity"]) is None
