"""The part of JSON Schema that structured output and strict tools take; anything else is refused by its name.

The list is what the official SDK leaves in a schema when it makes one ready to be sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from profiler.core.json_schema import resolve_reference
from profiler.provider.mock_server.settings import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid", "text")
REMARKS = frozenset({"$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"})
ANYWHERE = REMARKS | {"type", "enum", "const", "anyOf", "allOf", "$ref", "$defs", "definitions"}
OF_TYPE: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems"}),
    "string": frozenset({"format"}),
}
DEEPEST = 100


def check(schema: Any, *, where: str) -> None:
    """Raise the API's 400, which names the keyword, where the schema is outside the part that is taken."""
    _Checker(schema, where).node(schema, ())


class _Checker:
    def __init__(self, root: Any, where: str) -> None:
        self._root = root
        self._where = where

    def node(self, schema: Any, references: tuple[str, ...], depth: int = 0) -> None:
        """`references` are those that led here: one that comes again would never end."""
        if not isinstance(schema, dict) or depth > DEEPEST:
            self._refuse("Schema must be an object" if depth <= DEEPEST else "Schema is nested too deeply")
        self._keywords(schema)
        if (reference := schema.get("$ref")) is not None:
            if reference in references:
                self._refuse(f"Circular reference detected: {reference}")
            self.node(self._resolved(reference), (*references, reference), depth + 1)
        for name in ("properties", "$defs", "definitions"):
            for inner in self._mapping(schema, name).values():
                self.node(inner, references if name == "properties" else (), depth + 1)
        for name in ("anyOf", "allOf"):
            for inner in schema.get(name, ()):
                self.node(inner, references, depth + 1)
        if "items" in schema:
            self.node(schema["items"], references, depth + 1)

    def _keywords(self, schema: dict[str, Any]) -> None:
        types = self._types(schema)
        allowed = ANYWHERE.union(*(OF_TYPE.get(kind, frozenset()) for kind in types))
        if schema.get("additionalProperties") is False:  # says nothing where there is no object, and clients write it
            allowed |= {"additionalProperties"}
        unknown = sorted(name for name in schema if name not in allowed)
        if unknown:
            about = f"For {types[0]!r} type, properties" if types else "Schema properties"
            verb = "are" if len(unknown) > 1 or types else "is"
            self._refuse(f"{about} {', '.join(unknown)[:200]} {verb} not supported")
        if "object" in types and schema.get("additionalProperties") is not False:
            self._refuse("For 'object' type, 'additionalProperties' must be explicitly set to false")
        if "minItems" in schema and schema["minItems"] not in (0, 1):
            self._refuse("For 'array' type, 'minItems' values other than 0 or 1 are not supported")
        if "format" in schema and schema["format"] not in FORMATS:
            self._refuse(f"For 'string' type, 'format' {str(schema['format'])[:100]!r} is not supported")
        values = [*schema.get("enum", ()), schema.get("const")]
        if any(isinstance(value, dict | list) for value in values):
            self._refuse("'enum' and 'const' take strings, numbers, booleans and null only")
        if not types and not any(name in schema for name in ("enum", "const", "anyOf", "allOf", "$ref")):
            self._refuse("Schema must have a 'type', 'enum', 'const', 'anyOf', 'allOf' or '$ref'")

    def _types(self, schema: dict[str, Any]) -> list[str]:
        kind = schema.get("type", [])
        types = kind if isinstance(kind, list) else [kind]
        for each in types:
            if each not in TYPES:
                self._refuse(f"'type' {str(each)[:100]!r} is not supported")
        return types

    def _mapping(self, schema: dict[str, Any], name: str) -> dict[str, Any]:
        value = schema.get(name, {})
        if not isinstance(value, dict):
            self._refuse(f"{name!r} must be an object")
        return value

    def _resolved(self, reference: Any) -> Any:
        found = resolve_reference(self._root, reference)
        if found is None:
            self._refuse(f"'$ref' {str(reference)[:100]!r} does not name a part of this schema")
        return found

    def _refuse(self, problem: str) -> NoReturn:
        raise invalid(f"{self._where}: {problem}")
