"""What is drawn fits its schema; jsonschema, which others wrote, is the judge."""

from __future__ import annotations

from random import Random
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.provider.inventing.schema_values import NoValue, draw
from profiler.provider.mock_server.reading.schema_subset import FORMATS, check

JUDGE = jsonschema.Draft202012Validator
SEEDS = range(60)

PLAIN = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        {"type": ["string", "null"]},
        {"const": "fixed"},
        {"enum": ["a", 1, None, True]},
        *({"type": "string", "format": form} for form in FORMATS),
    ]
)
NAMES = st.text("abcdef_", min_size=1, max_size=5)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    def closed(properties: dict[str, Any], chosen: int) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties)[:chosen],
            "additionalProperties": False,
        }

    return st.builds(closed, st.dictionaries(NAMES, inner, max_size=4), st.integers(0, 4))


STRICT = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        objects(inner),
        st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 1)),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"allOf": [part]}, inner),
        st.builds(lambda part: {"$ref": "#/$defs/part", "$defs": {"part": part}}, PLAIN),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(schema=objects(STRICT), seed=st.integers(0, 1 << 32))
def test_a_value_fits_any_schema_that_strict_mode_takes(schema: dict[str, Any], seed: int) -> None:
    if "$ref" in str(schema):  # those inside name a place at the top, which only a schema of its own has
        schema = {**schema, "$defs": {"part": {"type": "string"}}}
    check(schema, where="schema")

    JUDGE(schema, format_checker=JUDGE.FORMAT_CHECKER).validate(draw(schema, Random(seed)))


NODE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "left": {"$ref": "#"}, "right": {"$ref": "#"}},
    "required": ["value"],
}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 3, "maximum": 5},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
        {"type": "integer", "maximum": -7},
        {"type": "integer", "minimum": 7, "multipleOf": 5},
        {"type": "number", "minimum": 0.25, "maximum": 0.26},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        {"type": "string", "minLength": 40},
        {"type": "string", "maxLength": 3},
        {"type": "string", "pattern": r"^[A-Z]{2}-\d{3,}(x|y)?$"},
        {"type": "string", "pattern": r"^(\w+)@\w+\.(com|org)$"},
        {"type": "string", "pattern": r"^[^a-z\s]+$"},
        {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4},
        {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
        {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
        {"type": "object", "required": ["a"], "additionalProperties": {"type": "null"}},
        {"type": "object", "properties": {"a": {"oneOf": [{"type": "integer"}, {"type": "null"}]}}, "required": ["a"]},
        {"allOf": [{"properties": {"a": {"type": "null"}}, "required": ["a"]}, {"type": "object", "required": ["b"]}]},
        {"type": "object", "properties": {"a": {"type": "integer"}}, "anyOf": [{"required": ["a"]}]},
        {"properties": {"a": {"type": "boolean"}}, "required": ["a"]},
        {"items": {"type": "boolean"}},
        NODE,
        {"type": "array", "items": {"$ref": "#"}, "minItems": 0},
        {"anyOf": [{"$ref": "#/$defs/list"}], "$defs": {"list": {"anyOf": [
            {"type": "null"}, {"type": "object", "properties": {"next": {"$ref": "#/$defs/list"}}, "required": ["next"]},
        ]}}},
        True,
        {},
    ],
)  # fmt: skip
def test_a_value_fits_what_only_loose_tools_may_ask(schema: Any) -> None:
    for seed in SEEDS:
        JUDGE(schema, format_checker=JUDGE.FORMAT_CHECKER).validate(draw(schema, Random(seed)))


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"enum": []},
        {"$ref": "#"},
        {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]},
    ],
)
def test_where_no_value_fits_none_is_given(schema: Any) -> None:
    with pytest.raises(NoValue):
        draw(schema, Random(0))


def test_the_same_seed_draws_the_same_value_and_others_draw_others() -> None:
    drawn = [str(draw(NODE, Random(seed))) for seed in SEEDS]

    assert drawn == [str(draw(NODE, Random(seed))) for seed in SEEDS]
    assert len(set(drawn)) > 30
