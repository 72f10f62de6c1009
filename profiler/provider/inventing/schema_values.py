"""Values that fit a JSON schema, drawn from a seed: what a tool is called with, and what structured output says.

Covers all that strict mode takes and the usual rest: bounds of numbers, texts, arrays and objects, patterns, tuples.
What cannot be drawn for (`not`, `if`, `contains`, `dependentRequired` …) is not looked at.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from profiler.core.json_schema import resolve_reference
from profiler.provider.inventing.patterns import text_matching

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

WORDS = (
    *("amber", "brisk", "calm", "delta", "ember", "fern", "granite", "harbor", "indigo", "juniper", "kelp", "lantern"),
    *("meadow", "north", "otter", "pebble", "quartz", "river", "sable", "tide", "umber", "violet", "willow", "zephyr"),
)
SHALLOW = 6  # below, only what must be there is drawn: a schema may hold itself
TOO_DEEP = 40
GUESSED = {"properties": "object", "required": "object", "items": "array", "prefixItems": "array", "pattern": "string"}


class NoValue(Exception):
    """This part of the schema has no end, or no value at all."""


def draw(schema: Any, random: Random) -> Any:
    """A value that fits the schema. The same seed always draws the same one."""
    return _Drawer(schema, random).value(schema)


class _Drawer:
    def __init__(self, root: Any, random: Random) -> None:
        self._root = root
        self._random = random
        self._by_type: dict[str, Callable[[dict[str, Any], int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda _schema, _depth: self._random.random() < 0.5,
            "null": lambda _schema, _depth: None,
        }

    def value(self, schema: Any, depth: int = 0) -> Any:
        if depth > TOO_DEEP or schema is False:
            raise NoValue
        schema = self._merged(schema, depth) if isinstance(schema, dict) else {}
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            if not schema["enum"]:
                raise NoValue
            return self._random.choice(schema["enum"])
        return self._by_type[self._type(schema, depth)](schema, depth)

    def _merged(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """The schema with its references, `allOf` and one of its alternatives put together."""
        if not schema.keys() & {"$ref", "allOf", "anyOf", "oneOf"}:
            return schema
        if depth > TOO_DEEP:
            raise NoValue
        merged = {name: each for name, each in schema.items() if name not in ("$ref", "allOf", "anyOf", "oneOf")}
        parts = [resolve_reference(self._root, schema["$ref"])] if "$ref" in schema else []
        for part in (*parts, *schema.get("allOf", ())):
            merged = _both(merged, self._merged(part, depth + 1) if isinstance(part, dict) else {})
        alternatives = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        return self._alternative(merged, alternatives, depth) if alternatives else merged

    def _alternative(self, merged: dict[str, Any], alternatives: list[Any], depth: int) -> dict[str, Any]:
        """One that is drawn; when that one has no end, the next that has."""
        first = self._random.randrange(len(alternatives)) if depth < SHALLOW else 0
        ordered = alternatives[first:] + alternatives[:first]
        if depth >= SHALLOW:
            ordered.sort(key=lambda each: "$ref" in str(each))
        for each in ordered:
            try:
                whole = _both(merged, self._merged(each, depth + 1) if isinstance(each, dict) else {})
                return {"const": self.value(whole, depth + 1)}
            except NoValue:
                continue
        raise NoValue

    def _type(self, schema: dict[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            kinds = [each for each in kind if each in self._by_type]
            kind = self._random.choice(kinds) if kinds and depth < SHALLOW else (kinds or ["null"])[-1]
        if kind in self._by_type:
            return str(kind)
        return next((of for name, of in GUESSED.items() if name in schema), "string")

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        required, properties = schema.get("required") or (), schema.get("properties") or {}
        drawn: dict[str, Any] = {}
        for name, inner in properties.items():
            if name in required:
                drawn[name] = self.value(inner, depth + 1)
            elif depth < SHALLOW and self._random.random() < 0.6:
                try:
                    drawn[name] = self.value(inner, depth + 1)
                except NoValue:
                    continue
        extra = schema.get("additionalProperties", True)
        for name in required:
            if name not in drawn:
                drawn[name] = self.value(extra, depth + 1)
        while len(drawn) < schema.get("minProperties", 0):
            drawn[f"{self._words(1)}_{len(drawn)}"] = self.value(extra, depth + 1)
        return drawn

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        prefix, least = schema.get("prefixItems") or [], schema.get("minItems", 0)
        most = schema.get("maxItems", max(least, 3))
        drawn = [self.value(inner, depth + 1) for inner in prefix[:most]]
        items = schema.get("items", True)
        usual = self._random.randint(1, 3) if depth < SHALLOW and items is not False else 0
        wanted = min(max(least, usual if "items" in schema else 0), most)
        tries = 0
        while len(drawn) < wanted and tries < 200:
            tries += 1
            try:
                each = self.value(items, depth + 1)
            except NoValue:
                if len(drawn) < least:
                    raise
                break
            if not (schema.get("uniqueItems") and each in drawn):
                drawn.append(each)
        return drawn

    def _integer(self, schema: dict[str, Any], depth: int) -> int:
        step = schema.get("multipleOf", 1)
        step = int(step) if step == int(step) and step else 1
        low, high = _bounds(schema, step=step)
        return step * self._random.randint(math.ceil(low / step), math.floor(high / step))

    def _number(self, schema: dict[str, Any], depth: int) -> float:
        if (step := schema.get("multipleOf")) is not None:
            low, high = _bounds(schema, step=step)
            return float(step * self._random.randint(math.ceil(low / step), math.floor(high / step)))
        low, high = _bounds(schema, step=1e-3)
        return min(max(round(self._random.uniform(low, high), 2), low), high)

    def _string(self, schema: dict[str, Any], depth: int) -> str:
        if (form := schema.get("format")) in FORMATS:
            return FORMATS[form](self._random)
        if (pattern := schema.get("pattern")) is not None:
            return text_matching(pattern, self._random)
        least, most = schema.get("minLength", 0), schema.get("maxLength", 1 << 20)
        text = self._words(self._random.randint(1, 3))
        while len(text) < least:
            text += " " + self._words(1)
        return text[:most]

    def _words(self, count: int) -> str:
        return " ".join(self._random.choice(WORDS) for _ in range(count))


def _both(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two schemas that hold at once; of bounds the later wins, which is right for what people write."""
    both = first | second
    for name in ("properties", "$defs"):
        if name in first and name in second:
            both[name] = first[name] | second[name]
    if "required" in first and "required" in second:
        both["required"] = [*first["required"], *(name for name in second["required"] if name not in first["required"])]
    if first.get("additionalProperties") is False and "properties" in both:
        both["additionalProperties"] = second.get("additionalProperties", False)
    return both


def _bounds(schema: dict[str, Any], *, step: float) -> tuple[float, float]:
    low, high = schema.get("minimum"), schema.get("maximum")
    below, above = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if isinstance(below, int | float) and not isinstance(below, bool):
        low = below + step if low is None else max(low, below + step)
    if isinstance(above, int | float) and not isinstance(above, bool):
        high = above - step if high is None else min(high, above - step)
    if low is None:
        low = 0 if high is None or high >= 0 else high - 100 * max(1, step)
    return low, max(low, high if high is not None else low + 100 * max(1, step))


def _hex(random: Random, digits: int) -> str:
    return f"{random.getrandbits(4 * digits):0{digits}x}"


def _date(random: Random) -> str:
    return f"2026-{random.randint(1, 12):02}-{random.randint(1, 28):02}"


def _time(random: Random) -> str:
    return f"{random.randint(0, 23):02}:{random.randint(0, 59):02}:00Z"


FORMATS: dict[str, Callable[[Random], str]] = {
    "date": _date,
    "time": _time,
    "date-time": lambda random: f"{_date(random)}T{_time(random)}",
    "duration": lambda random: f"PT{random.randint(1, 90)}M",
    "email": lambda random: f"{random.choice(WORDS)}@example.com",
    "hostname": lambda random: f"{random.choice(WORDS)}.example.com",
    "uri": lambda random: f"https://example.com/{random.choice(WORDS)}",
    "ipv4": lambda random: f"192.0.2.{random.randint(1, 254)}",
    "ipv6": lambda random: f"2001:db8::{_hex(random, 4)}",
    "uuid": lambda random: (
        f"{_hex(random, 8)}-{_hex(random, 4)}-4{_hex(random, 3)}-a{_hex(random, 3)}-{_hex(random, 12)}"
    ),
}
