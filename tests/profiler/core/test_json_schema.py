from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from profiler.core.json_schema import schema_check, schema_fault


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "objekt"}, "$.type"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "a pattern that cannot be searched for"),
        ({"patternProperties": {"(?=x)": {}}}, "a pattern that cannot be searched for"),
        ({"$ref": "#/$defs/none"}, "a $ref that leads nowhere"),
        ({"items": {"$ref": "https://example.com/schema.json"}}, "which nothing fetches"),
        ({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "are not supported"),
    ],
)
def test_a_schema_that_cannot_be_checked_says_why(schema: dict[str, Any], said: str) -> None:
    assert said in (schema_fault(schema) or "")


SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False},
    {"patternProperties": {"^a": {"type": "string"}}, "additionalProperties": {"type": "number"}},
    {"type": "string", "pattern": "^a+b"},
    {"properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    {"anyOf": [{"type": "null"}, {"type": "array", "items": {"pattern": "b"}}]},
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("schema", SCHEMAS)
@settings(max_examples=50)
@given(value=VALUES)
def test_it_says_what_the_package_says(schema: dict[str, Any], value: Any) -> None:
    assert schema_fault(schema) is None
    assert schema_check(schema)(value) == Draft202012Validator(schema).is_valid(value)


def test_a_value_nested_without_end_does_not_fit() -> None:
    value: Any = {}
    for _ in range(5_000):
        value = {"a": value}
    assert schema_check({"properties": {"a": {"$ref": "#"}}})(value) is False
