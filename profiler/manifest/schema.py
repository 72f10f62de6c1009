"""The JSON Schema (draft 2020-12) of a manifest, for editors and for programs that write manifests.

It is made from the annotations of `settings`, like the loader's checks, so the two cannot differ. Whatever it rejects,
the loader rejects; the loader also checks what a schema cannot express.
"""

from __future__ import annotations

from typing import Any

import msgspec

from profiler.manifest.matrix import varied
from profiler.manifest.settings import REQUIRED, SECTIONS, Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NULL = {"type": "null"}


def manifest_schema() -> dict[str, Any]:
    properties, definitions = _generated()
    matrix = {"description": "Lists of values; every combination becomes an experiment.", "$ref": "#/$defs/Matrix"}
    inherited = {key: value for key, value in properties.items() if key != "experiment_id"}
    axes = {key: _values(_property(key, properties, definitions)) for key in varied()}
    definitions["Matrix"] = _object(axes) | {
        "patternProperties": {r"^request\.": _values({})},
        "minProperties": 1,
    }
    definitions["Defaults"] = _object({**inherited, "matrix": _nullable(matrix)})
    definitions["Entry"] = _object({**properties, "matrix": _nullable(matrix)}) | {"required": ["experiment_id"]}
    return {
        "$schema": DIALECT,
        "title": "Manifest of experiments",
        "description": "One experiment, or 'defaults' and a list of 'experiments'.",
        "type": "object",
        "if": {"anyOf": [{"required": ["experiments"]}, {"required": ["defaults"]}]},
        "then": {"$ref": "#/$defs/Several"},
        "else": {"$ref": "#/$defs/Single"},
        "$defs": {"Single": _single(), "Several": _several(), **definitions},
    }


def _generated() -> tuple[dict[str, Any], dict[str, Any]]:
    """The properties of an experiment and the definitions that they refer to.

    Null is allowed: it resets a key to its default.
    """
    definitions = msgspec.json.schema(Settings, schema_hook=_path_schema)["$defs"]
    for definition in definitions.values():
        required = () if _merges(definition) else definition["required"]
        definition["properties"] = {
            key: value if key in required else _nullable(value) for key, value in definition["properties"].items()
        }
    properties: dict[str, Any] = definitions.pop("Settings")["properties"]
    properties["experiment_id"] = {
        key: value for key, value in properties["experiment_id"].items() if key != "anyOf"
    } | properties["experiment_id"]["anyOf"][0]
    return properties, definitions


def _merges(definition: dict[str, Any]) -> bool:
    return definition["title"] in {"Settings", *(section.__name__ for section in SECTIONS.values())}


def _path_schema(kind: type) -> dict[str, Any]:
    return {"type": "string", "minLength": 1}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if _NULL in schema.get("anyOf", ()):
        return schema
    outer: dict[str, Any] = {key: value for key, value in schema.items() if key in {"description", "default"}}
    inner = {key: value for key, value in schema.items() if key not in outer}
    options = inner["anyOf"] if set(inner) == {"anyOf"} else [inner]
    return {**outer, "anyOf": [*options, _NULL]}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _values(schema: dict[str, Any]) -> dict[str, Any]:
    item = {key: value for key, value in schema.items() if key not in {"description", "default"}}
    return {"type": "array", "minItems": 1, "items": item}


def _property(key: str, properties: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a key of a matrix: `mock.seed` stands in the definition of its section."""
    section, _, inner = key.partition(".")
    found: dict[str, Any] = (
        definitions[SECTIONS[section].__name__]["properties"][inner] if inner else properties[section]
    )
    return found


def _single() -> dict[str, Any]:
    """All required keys must be there, unless there is a matrix, which may bring some of them."""
    complete = {"required": [key for key in REQUIRED if key != "experiment_id"]}
    return {"$ref": "#/$defs/Entry", "if": {"not": {"required": ["matrix"]}}, "then": complete}


def _several() -> dict[str, Any]:
    experiments = {
        "description": "The experiments, in the order in which they begin.",
        "type": "array",
        "minItems": 1,
        "items": {"$ref": "#/$defs/Entry"},
    }
    defaults = {
        "description": "Settings of every experiment that does not set them itself.",
        "$ref": "#/$defs/Defaults",
    }
    cap = {"description": "The cap of all experiments together.", "type": "number", "exclusiveMinimum": 0}
    return _object({"defaults": _nullable(defaults), "experiments": experiments, "max_cost_usd": _nullable(cap)}) | {
        "required": ["experiments"]
    }
