"""The subset of JSON Schema that strict mode takes: all that the SDK sends is in it, all else is refused by name."""

from __future__ import annotations

import enum
from typing import Any, Literal

import pydantic
import pytest
from anthropic import transform_schema

from profiler.provider.mock_server.reading.schema_subset import check
from profiler.provider.mock_server.settings import ApiError

CLOSED: dict[str, Any] = {"type": "object", "additionalProperties": False}


def refusal(schema: Any) -> str:
    try:
        check(schema, where="schema")
    except ApiError as error:
        return error.message
    return ""


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Part(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=2, pattern="^[a-z]+$", description="What it is called.")
    kind: Literal["a", "b"]
    colour: Colour
    count: int = pydantic.Field(ge=1, le=9)


class Whole(pydantic.BaseModel):
    parts: list[Part] = pydantic.Field(min_length=1)
    note: str | None
    either: int | float | bool
    page: pydantic.AnyUrl


def test_what_the_sdk_makes_of_a_model_is_taken() -> None:
    assert refusal(transform_schema(Whole)) == ""


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "object"}, "additionalProperties"),
        (CLOSED | {"additionalProperties": True}, "additionalProperties"),
        (CLOSED | {"properties": {"a": {"type": "integer", "minimum": 1}}}, "minimum"),
        (CLOSED | {"patternProperties": {}}, "patternProperties"),
        ({"type": "array", "items": {"type": "string", "pattern": "x"}}, "pattern"),
        ({"type": "array", "minItems": 2}, "minItems"),
        ({"type": "array", "maxItems": 2}, "maxItems"),
        ({"type": "string", "format": "colour"}, "format"),
        ({"oneOf": [{"type": "string"}], "type": "string"}, "oneOf"),
        ({"anyOf": [{"type": "string"}, {"type": "number", "multipleOf": 2}]}, "multipleOf"),
        ({"allOf": [{"type": "string"}, {"not": {}}]}, "not"),
        ({"enum": [{"a": 1}]}, "enum"),
        ({"type": "tuple"}, "type"),
        ({"$ref": "https://example.com/schema"}, "$ref"),
        ({"$ref": "#/$defs/gone"}, "$ref"),
        ({"$defs": {"a": {"type": "number", "maximum": 1}}, "type": "null"}, "maximum"),
        ({"description": "anything"}, "type"),
        ("string", "object"),
    ],
)
def test_what_is_outside_is_refused_by_its_name(schema: Any, named: str) -> None:
    said = refusal(schema)

    assert said.startswith("schema: ")
    assert named in said


@pytest.mark.parametrize(
    "schema",
    [
        CLOSED | {"properties": {"a": {"type": ["string", "null"], "default": None}}, "required": ["a"]},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "array", "items": {"type": "null"}},
        {"type": "array", "minItems": 1, "items": {"enum": ["a", 1, None]}},
        {"$ref": "#/definitions/a~1b", "definitions": {"a/b": {"const": 3}}},
    ],
)
def test_what_is_inside_is_taken(schema: Any) -> None:
    assert refusal(schema) == ""


def test_a_schema_that_holds_itself_is_refused() -> None:
    node = CLOSED | {"properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}

    assert refusal({"$ref": "#/$defs/node", "$defs": {"node": node}}) == (
        "schema: Circular reference detected: #/$defs/node"
    )


def test_a_schema_that_is_used_twice_does_not_hold_itself() -> None:
    pair = CLOSED | {"properties": {"a": {"$ref": "#/$defs/x"}, "b": {"$ref": "#/$defs/x"}}}

    assert refusal(pair | {"$defs": {"x": {"type": "string"}}}) == ""


def test_a_schema_without_end_is_refused_rather_than_followed() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(500):
        schema = {"type": "array", "items": schema}

    assert "too deeply" in refusal(schema)
