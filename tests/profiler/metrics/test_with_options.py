from __future__ import annotations

import json
import re
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from profiler.core.errors import UsageError
from profiler.core.nouns import Outcome
from profiler.core.patterns import compiled
from profiler.manifest.metrics import KINDS
from profiler.metrics.builtin import BUILTIN, resolve
from profiler.metrics.reduction import reduce_outcomes
from profiler.metrics.with_options import WRITTEN_NUMBER, chosen_letter, numbers


def score(metric: dict[str, Any] | str, completion: str | None, expected: Any = None, **fields: Any) -> Any:
    (made,) = resolve([metric])
    assert made.score is not None
    outcome = Outcome("d", fields.pop("type", "answer"), completion=completion, expected=expected, **fields)
    return made.score(outcome)


def sent(schema: Any) -> Raw:
    return Raw(json.dumps({"tools": [], "output_config": {"effort": "low", "format": {"schema": schema}}}).encode())


@pytest.mark.parametrize("metric", [{"json_schema": "sent"}, {"json_schema": {"schema": "sent"}}])
def test_an_answer_is_checked_against_the_schema_that_was_sent_with_its_question(metric: dict[str, Any]) -> None:
    number, text = sent({"type": "integer"}), sent({"type": "string"})

    assert [score(metric, "3", request=each) for each in (number, text)] == [True, False]
    assert [score(metric, '"3"', request=each) for each in (number, text)] == [False, True]
    assert score(metric, "no JSON", request=number) is False
    assert score(metric, "3") is None  # nothing was sent with it
    assert score(metric, "3", request=Raw(b'{"output_config":{"effort":"low"}}')) is None
    assert score(metric, None, request=number, type="error") is None
    assert score(metric, "", request=number) is False
    assert score(metric, "", request=number, tool_calls=({"name": "look_up", "input": {}},)) is None


SCORES: list[tuple[dict[str, Any] | str, str, Any, Any]] = [
    # exact_match
    ("exact_match", "Paris", "Paris", True),
    ("exact_match", "Paris.", "Paris", False),
    ("exact_match", "Lyon", ["Paris", "Lyon"], True),
    ("exact_match", "8", 8, True),
    ("exact_match", "8.0", 8, False),
    ("exact_match", '{"b": 1, "a": [2]}', {"a": [2], "b": 1}, True),
    ("exact_match", "{'a': 1}", {"a": 1}, False),
    ({"exact_match": {"normalize": ["case", "punctuation", "space", "articles"]}}, " The  PARIS!", "paris", True),
    ({"exact_match": {"normalize": ["unicode"]}}, "\uff21", "A", True),
    ({"exact_match": {"normalize": ["case"]}}, "STRASSE", "Straße", True),
    ({"exact_match": {"normalize": ["space"]}}, "a\n\tb\u00a0c ", "a b c", True),
    ({"exact_match": {"extract": r"answer: (\w+)"}}, "answer: x, no, answer: y", "y", True),
    ({"exact_match": {"extract": "[0-9]+"}}, "first 1 then 22", "22", True),
    ({"exact_match": {"extract": "[0-9]+"}}, "none", "", False),  # nothing was found, which is no empty text
    # contains
    ("contains", "It is Paris, I think", "Paris", True),
    ("contains", "It is paris", "Paris", False),
    ({"contains": {"normalize": ["case"]}}, "It is paris", "Paris", True),
    ({"contains": {"any": ["x", "y"]}}, "only y", None, True),
    ({"contains": {"all": ["x", "y"]}}, "only y", None, False),
    ({"contains": {"all": ["x", "y"], "any": ["z", "w"]}}, "x y w", None, True),
    # regex
    ({"regex": {"pattern": "^yes"}}, "yes, sir", None, True),
    ({"regex": {"pattern": "^yes"}}, "oh yes", None, False),
    ({"regex": {"pattern": "(?i)^yes", "normalize": ["space"]}}, "  YES", None, True),
    # numeric
    ("numeric", "3 + 5 = 8", 8, True),
    ("numeric", "The answer is 1,234.50 dollars.", "1234.5", True),
    ("numeric", "8 apples, not 9", 8, False),
    ("numeric", "no number", 8, False),
    ("numeric", "-3", -3, True),
    ("numeric", "3-5", 5, True),
    ("numeric", "0.3", 0.2, False),
    ({"numeric": {"absolute": 0.1}}, "0.3", 0.2, True),  # in floats 0.3 - 0.2 is not within 0.1
    ({"numeric": {"relative": 0.01}}, "101", 100, True),
    ({"numeric": {"relative": 0.01}}, "101.01", 100, False),
    ({"numeric": {"relative": 0.01}}, "-101", -100, True),
    ("numeric", "7", [6, 7], True),
    ("numeric", "1e9999", 1, False),
    # json_valid, json_schema
    ("json_valid", ' {"a": 1}\n', None, True),
    ("json_valid", "null", None, True),
    ("json_valid", '{"a": 1} and so on', None, False),
    ("json_valid", "[" * 100_000, None, False),
    ({"json_valid": {"extract": r"(?s)```json\n(.*)```"}}, 'Sure:\n```json\n{"a": 1}\n```', None, True),
    ({"json_schema": {"schema": {"type": "object", "required": ["a"]}}}, '{"a": 1}', None, True),
    ({"json_schema": {"schema": {"type": "object", "required": ["a"]}}}, '{"b": 1}', None, False),
    ({"json_schema": {"schema": {"type": "object"}}}, "not JSON", None, False),
    ({"json_schema": {"schema": {"$ref": "#/$defs/x", "$defs": {"x": {"type": "integer"}}}}}, "1", None, True),
    # choice
    ("choice", "B", "B", True),
    ("choice", "The answer is (C).", "C", True),
    ("choice", "A dog is what I see, so: B", "B", True),
    ("choice", "I do not know", "A", False),
    ({"choice": {"choices": ["yes", "no"]}}, "Answer: no", "no", True),
    ({"choice": {"choices": ["yes", "no"]}}, "Answer: nobody", "no", False),
    # length
    ("length", "four", None, 4),
    ({"length": {"unit": "words"}}, "one two\nthree", None, 3),
    ({"length": {"extract": "<a>(.*)</a>"}}, "<a>xx</a>", None, 2),
]


@pytest.mark.parametrize(("metric", "completion", "expected", "wanted"), SCORES)
def test_an_answer_scores_what_the_documents_say(
    metric: dict[str, Any] | str, completion: str, expected: Any, wanted: Any
) -> None:
    found = score(metric, completion, expected)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize("metric", ["exact_match", "contains", "numeric", "choice"])
def test_nothing_expected_is_no_score(metric: str) -> None:
    assert score(metric, "8") is None


@pytest.mark.parametrize("metric", ["exact_match", "json_valid", "length", {"regex": {"pattern": "x"}}])
def test_a_failed_dialogue_has_no_score_and_a_refusal_is_compared(metric: Any) -> None:
    assert score(metric, None, "x", type="error") is None
    assert score(metric, None, "x") is None  # the log does not hold it
    assert score(metric, "I cannot", "x", type="refusal") in (False, 8)


def test_a_refusal_counts_in_the_rate_and_an_error_does_not() -> None:
    metrics = resolve(["exact_match", {"name": "short", "length": {}}])
    outcomes = [
        Outcome("a", "answer", completion="8", expected="8"),
        Outcome("b", "refusal", completion="I can't", expected="8"),
        Outcome("c", "error", expected="8"),
        Outcome("d", "answer", completion="9"),
    ]
    found = reduce_outcomes(outcomes, metrics).estimates()
    assert (found["exact_match"].value, found["exact_match"].n) == (0.5, 2)
    assert (found["short"].value, found["short"].n) == (3, 3)


@pytest.mark.parametrize("expected", ["eight", "between 3 and 5", {"a": 1}])
def test_numeric_names_an_expectation_that_is_no_number(expected: Any) -> None:
    (fault,) = reduce_outcomes(
        [Outcome("d7", "answer", completion="8", expected=expected)], resolve(["numeric"])
    ).faults
    assert "at dialogue 'd7'" in fault.reason
    assert "numeric compares with one number" in fault.reason


def test_choice_names_an_expectation_that_is_no_choice() -> None:
    (fault,) = reduce_outcomes([Outcome("d7", "answer", completion="B", expected=2)], resolve(["choice"])).faults
    assert "none of the choices A, B, C, D, E" in fault.reason


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        *[("**B**", "B"), ("B.", "B"), ("(B)", "B"), ("B", "B"), ("C: Paris", "C"), ("A\nB\nso C", "C")],
        *[("Answer: A dog", None), ("I choose A because", None), ("I choose B because", "B"), ("Beware", None)],
        *[("answer is B, no, answer is C", "C"), ("the answer is D's", None), ("", None), ("E)", None)],
    ],
)
def test_a_letter_is_found_where_it_is_meant(text: str, letter: str | None) -> None:
    assert chosen_letter(text, ("A", "B", "C", "D")) == letter


@given(st.integers(-(10**12), 10**12), st.integers(0, 6))
def test_a_number_is_read_however_it_is_written(whole: int, places: int) -> None:
    number = Decimal(whole).scaleb(-places)
    for written in (f"{number:f}", f"{number:,f}", f"{number:f}".replace("-", "\u2212"), f"{number:e}"):
        assert numbers(f"It costs {written}, I believe.") == [number]


@given(st.text(alphabet="0123,.eE+-\u2212 x\u0663\n", max_size=30))
def test_numbers_stand_where_re2_finds_them(text: str) -> None:
    """RE2 shares neither the code nor the ways of Python's engine, and cannot be led astray by what comes before."""
    written = r"[-+\x{2212}]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,4})?"

    places = [found.span() for found in compiled(written).finditer(text)]

    assert [found.span() for found in WRITTEN_NUMBER.finditer(text)] == places


HOSTILE = ["answer" + " " * 300_000, "1" + ",234" * 100_000 + "5", "a" * 300_000 + "!", "(" * 300_000, "-" * 300_000]
HOSTILE += ["1." * 200_000, "1e" * 200_000, "1,1e-" * 100_000, "1," * 200_000]


@pytest.mark.parametrize("metric", ["numeric", "choice", {"regex": {"pattern": "(a+)+$"}}])
def test_no_answer_takes_forever(metric: Any) -> None:
    """Python's own engine takes hours for these; the work of a linear one is bounded, so a timer can be generous."""
    begin = time.process_time()
    for text in HOSTILE:
        score(metric, text, "8" if metric == "numeric" else "A")
    assert time.process_time() - begin < 20


def test_a_schema_whose_pattern_would_take_forever_does_not() -> None:
    schema = {"patternProperties": {"^(a+)+$": {"pattern": "(b+)+$"}}, "additionalProperties": False}
    assert score({"json_schema": {"schema": schema}}, json.dumps({"a" * 50: "b" * 200_000})) is True
    assert score({"json_schema": {"schema": schema}}, json.dumps({"a" * 50_000 + "!": "b"})) is False


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ({"exact_match": {"normalise": []}}, "normalise"),
        ({"exact_match": {}, "contains": {}}, "no metric with options"),
        ({"name": "x"}, "no metric with options"),
        ({"name": "counts", "exact_match": {}}, "cannot name a metric"),
        ({"regex": {"pattern": "("}}, "missing"),
        ("exactmatch", "did you mean 'exact_match'"),
    ],
)
def test_what_is_no_metric_is_refused(metric: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve([metric])
    assert said in f"{caught.value} {caught.value.hint}"


DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"


def examples() -> list[tuple[str, ...]]:
    table = DOCUMENT.read_text().split("## Examples")[1].split("## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    cells = [
        [cell.strip().strip("`").replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows
    ]
    return [tuple(row) for row in cells]


@pytest.mark.parametrize(("metric", "answer", "expected", "wanted"), examples())
def test_the_examples_of_the_document_are_true(metric: str, answer: str, expected: str, wanted: str) -> None:
    assert score(yaml.safe_load(metric), answer, expected or None) == yaml.safe_load(wanted)


def test_the_document_knows_every_metric() -> None:
    text = DOCUMENT.read_text()
    assert [name for name in (*BUILTIN, *KINDS) if f"| `{name}` |" not in text] == []
