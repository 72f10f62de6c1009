"""Checks a decoded request, or a part of one, against the types of the official SDK.

The types stand in `sdk_shapes.json`, which `make shapes` writes from the installed SDK. A shape is a name ("str",
"#TextBlockParam") or a list that says which kind: ["[]", items], ["{}", values], ["=", allowed…], ["|", alternatives…].
Errors carry the path that the API would name, with the type of a block in it: `messages.0.content.1.image.source`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Shape = str | list[Any]

REQUIRED, EXTRA = "Field required", "Extra inputs are not permitted"
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "string"),
    "int": ((int,), "integer"),
    "float": ((float, int), "number"),
    "bool": ((bool,), "boolean"),
}


class Structure(msgspec.Struct, frozen=True):
    """What stands in an object: of each field whether it must be given, and its shape."""

    fields: dict[str, tuple[bool, Shape]]
    open: bool = False


class Table(msgspec.Struct, frozen=True):
    """The whole of `sdk_shapes.json`."""

    sdk: str
    models: tuple[str, ...]
    structures: dict[str, Structure]


class Mismatch(Exception):
    """A value is not what the types say. The path grows while the error travels outwards."""

    def __init__(self, problem: str, *path: str | int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path: list[str | int] = list(path)


@cache
def table() -> Table:
    source = Path(__file__).with_name("sdk_shapes.json")
    return msgspec.json.decode(source.read_bytes(), type=Table)


def check(structure: str, value: Any) -> None:
    """Raise `Mismatch` where the value is not what the SDK's types allow in this structure."""
    _structure(structure)(value)


@cache
def field_check(structure: str, field: str) -> Callable[[Any], None]:
    """The same for one field of a structure, such as the `tools` of a `message`."""
    return _compile(table().structures[structure].fields[field][1])


@cache
def _structure(name: str) -> Callable[[Any], None]:
    """Compiled when it is first needed: a structure may hold itself, and most are never sent."""
    structure = table().structures[name]
    checks = {field: _lazy(shape) for field, (_, shape) in structure.fields.items()}
    required = [field for field, (needed, _) in structure.fields.items() if needed]

    def check(value: Any) -> None:
        if not isinstance(value, dict):
            raise Mismatch("Input should be a valid dictionary")
        for field in required:
            if field not in value:
                raise Mismatch(REQUIRED, field)
        for field, given in value.items():
            if field in checks:
                _inside(checks[field], given, field)
            elif not structure.open:
                raise Mismatch(EXTRA, field[:200])

    return check


def tags(structure: str, field: str) -> list[str]:
    """The values of `type` by which the blocks of a field that holds a list of them are told apart."""
    _, shape = table().structures[structure].fields[field]
    lists = [each for each in _flat([shape]) if isinstance(each, list) and each[0] == "[]"]
    names = [name[1:] for each in lists for name in _flat(each[1:]) if isinstance(name, str)]
    found = [_tags(kind[1], needed=kind[0]) for kind in (table().structures[name].fields["type"] for name in names)]
    return [each for several in found for each in several if each is not None]


def _inside(check: Callable[[Any], None], value: Any, *place: str | int) -> None:
    try:
        check(value)
    except Mismatch as mismatch:
        mismatch.path[:0] = place
        raise


def _lazy(shape: Shape) -> Callable[[Any], None]:
    compiled: list[Callable[[Any], None]] = []

    def check(value: Any) -> None:
        if not compiled:
            compiled.append(_compile(shape))
        compiled[0](value)

    return check


def _compile(shape: Shape) -> Callable[[Any], None]:
    if isinstance(shape, str):
        if shape == "any":
            return lambda value: None
        return _structure(shape[1:]) if shape.startswith("#") else _plain(shape)
    kind, *inner = shape
    if kind == "[]":
        return _every(_lazy(inner[0]), list, "list", entries=enumerate)
    if kind == "{}":
        return _every(_lazy(inner[0]), dict, "dictionary", entries=dict.items)
    return _one_of(inner) if kind == "=" else _union(_flat(inner))


def _plain(kind: str) -> Callable[[Any], None]:
    types, name = KINDS.get(kind, ((type(None),), "null"))

    def check(value: Any) -> None:
        if type(value) not in types:  # exactly: true is no integer
            raise Mismatch(f"Input should be a valid {name}")

    return check


def _every(
    item: Callable[[Any], None], kind: type, name: str, *, entries: Callable[[Any], Iterable[tuple[str | int, Any]]]
) -> Callable[[Any], None]:
    """Check everything in a list or a dictionary."""

    def check(value: Any) -> None:
        if not isinstance(value, kind):
            raise Mismatch(f"Input should be a valid {name}")
        for place, each in entries(value):
            _inside(item, each, place)

    return check


def _one_of(allowed: list[Any]) -> Callable[[Any], None]:
    said = f"Input should be {_or(allowed)}"

    def check(value: Any) -> None:
        if not any(value == each and type(value) is type(each) for each in allowed):
            raise Mismatch(said)

    return check


def _or(values: list[Any]) -> str:
    *others, last = map(repr, values)
    return f"{', '.join(others)} or {last}" if others else last


def _flat(alternatives: list[Shape]) -> list[Shape]:
    flat: list[Shape] = []
    for shape in alternatives:
        flat += _flat(shape[1:]) if isinstance(shape, list) and shape[0] == "|" else [shape]
    return flat


def _union(alternatives: list[Shape]) -> Callable[[Any], None]:
    """Chosen by the JSON type of the value, and among objects by their `type` or `role`."""
    names = [shape[1:] for shape in alternatives if isinstance(shape, str) and shape.startswith("#")]
    by_type: dict[type, Callable[[Any], None]] = {}
    for shape in alternatives:
        for kind in _json_types(shape):
            by_type.setdefault(kind, _lazy(shape))  # an object with named fields comes before any object
    if len(names) > 1:
        by_type[dict] = _tagged(names)
    expected = _plain_name(alternatives[-1] if alternatives[-1] != "null" else alternatives[-2])

    def check(value: Any) -> None:
        chosen = by_type.get(type(value))
        if chosen is None:
            raise Mismatch(f"Input should be a valid {expected}")
        chosen(value)

    return check


def _json_types(shape: Shape) -> tuple[type, ...]:
    if isinstance(shape, str):
        return KINDS[shape][0] if shape in KINDS else (type(None) if shape == "null" else dict,)
    if shape[0] == "=":
        return tuple({type(each) for each in shape[1:]})
    return (list if shape[0] == "[]" else dict,)


def _plain_name(shape: Shape) -> str:
    if isinstance(shape, str) and shape in KINDS:
        return KINDS[shape][1]
    return "list" if isinstance(shape, list) and shape[0] == "[]" else "dictionary"


def _tagged(names: list[str]) -> Callable[[Any], None]:
    structures = [table().structures[name] for name in names]
    tag = "type" if all("type" in structure.fields for structure in structures) else "role"
    members: dict[str | None, list[Callable[[Any], None]]] = {}
    for name, structure in zip(names, structures, strict=True):
        for value in _tags(structure.fields[tag][1], needed=structure.fields[tag][0]):
            members.setdefault(value, []).append(_structure(name))
    known = [value for value in members if value is not None]

    def check(value: dict[str, Any]) -> None:
        given = value.get(tag)
        if not isinstance(given, str | None) or given not in members:
            _refuse_tag(tag, given, known)
        # the path names the type of a block, and of a tool without one that it is custom, but not the role of a message
        place = () if tag == "role" else (given or known[0],)
        _inside(_first_that_fits(members[given]), value, *place)

    return check


def _refuse_tag(tag: str, given: Any, known: list[str]) -> None:
    if tag == "role":
        raise Mismatch(f"Input should be {_or(known)}" if given is not None else REQUIRED, tag)
    if given is None:
        raise Mismatch(REQUIRED, tag)
    expected = ", ".join(map(repr, known))
    raise Mismatch(
        f"Input tag {str(given)[:100]!r} found using {tag!r} does not match any of the expected tags: {expected}"
    )


def _tags(shape: Shape, *, needed: bool) -> list[str | None]:
    literals: list[str | None] = []
    for each in _flat([shape]):
        if isinstance(each, list):
            literals += each[1:]
    return literals if needed else [*literals, None]


def _first_that_fits(checks: list[Callable[[Any], None]]) -> Callable[[Any], None]:
    """A block may be written as one sends it or as it came in an answer; the error is that of the first."""
    if len(checks) == 1:
        return checks[0]

    def check(value: Any) -> None:
        first: Mismatch | None = None
        for each in checks:
            try:
                return each(value)
            except Mismatch as mismatch:
                first = first or mismatch
        raise first or AssertionError

    return check
