"""Whether a value is valid against a JSON Schema, by the jsonschema package.

Its patterns are searched with RE2, so that no answer can make them take forever, and nothing is ever fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.core.patterns import BadPattern, compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def schema_fault(schema: dict[str, Any]) -> str | None:
    """Why this is not a schema that answers can be checked with."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 (slow to import, and only for those who check schemas)
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415

    try:
        Draft202012Validator.check_schema(schema)
        for pattern in _patterns(schema):
            compiled(pattern)
        return _leads_nowhere(schema) or _unsupported(schema)
    except SchemaError as error:
        return f"{error.json_path}: {error.message}"
    except BadPattern as error:
        return f"a pattern that cannot be searched for: {error}"
    except RecursionError:
        return "it is nested too deeply"


def _leads_nowhere(schema: dict[str, Any]) -> str | None:
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415
    from referencing.jsonschema import DRAFT202012  # noqa: PLC0415

    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    references = (
        value
        for each in _objects(schema)
        for key, value in each.items()
        if key in {"$ref", "$dynamicRef"} and isinstance(value, str)
    )
    for reference in references:
        if not reference.startswith("#"):
            return f"a $ref to another document, which nothing fetches: {reference!r}"
        try:
            resolver.lookup(reference)
        except Unresolvable:
            return f"a $ref that leads nowhere: {reference!r}"
    return None


def _unsupported(schema: dict[str, Any]) -> str | None:
    """What the package would search for with an engine of its own."""
    both = {"patternProperties", "unevaluatedProperties"} <= {key for each in _objects(schema) for key in each}
    return "patternProperties and unevaluatedProperties together are not supported" if both else None


def resolve_reference(root: Any, reference: Any) -> Any:
    """What a reference inside the same schema names; None where it names nothing."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object in a schema, itself included, from the outside in."""
    if isinstance(schema, dict):
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _objects(part)


def _patterns(schema: Any) -> Iterator[str]:
    for each in _objects(schema):
        if isinstance(each.get("pattern"), str):
            yield each["pattern"]
        if isinstance(each.get("patternProperties"), dict):
            yield from each["patternProperties"]


def schema_check(schema: dict[str, Any]) -> Callable[[Any], bool]:
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from jsonschema.validators import extend  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415

    kind: Any = extend(  # type: ignore[no-untyped-call]
        Draft202012Validator,
        {"pattern": _pattern, "patternProperties": _pattern_properties, "additionalProperties": _additional_properties},
    )
    validator = kind(schema, registry=Registry())  # an empty one, which fetches nothing

    def fits(value: Any) -> bool:
        try:
            return bool(validator.is_valid(value))
        except RecursionError:  # an answer nested more deeply than any that was wanted
            return False

    return fits


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not compiled(pattern).search(instance):
        yield _error(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, properties: dict[str, Any], instance: Any, _: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    for pattern, part in properties.items():
        for key, value in instance.items():
            if compiled(pattern).search(key):
                yield from validator.descend(value, part, path=key, schema_path=pattern)


def _additional_properties(validator: Any, rule: Any, instance: Any, schema: dict[str, Any]) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    patterns = [compiled(pattern) for pattern in schema.get("patternProperties", ())]
    named = schema.get("properties", {})
    for key, value in instance.items():
        if key not in named and not any(pattern.search(key) for pattern in patterns):
            yield from validator.descend(value, rule, path=key)


def _error(message: str) -> Any:
    from jsonschema.exceptions import ValidationError  # noqa: PLC0415

    return ValidationError(message)
