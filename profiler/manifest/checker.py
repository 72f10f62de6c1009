"""Checks values against the annotations in `settings`, and converts them or says everything that is wrong.

msgspec reports only the first fault of a value. So mappings and lists are walked here, and msgspec judges the single
values in them.
"""

from __future__ import annotations

import math
import types
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from profiler.core.complaint import Complaint
from profiler.core.wording import did_you_mean, expected, found, nearest, quoting_hint
from profiler.manifest.settings import SECTIONS

BAD: Any = msgspec.UNSET  # stands in place of a wrong value
LARGEST_INTEGER = 2**63 - 1
LARGEST_TEXT = 4 << 20  # bytes of a file that a text stands in

_SCALARS = (
    inspect.IntType,
    inspect.FloatType,
    inspect.StrType,
    inspect.LiteralType,
    inspect.CustomType,
    inspect.NoneType,
)
_TEXTS = (inspect.StrType, inspect.LiteralType, inspect.CustomType, inspect.NoneType)


class Checker:
    """Checks values and collects complaints. Relative paths start at `folder`."""

    def __init__(self, *, folder: Path) -> None:
        self.folder = folder
        self.complaints: list[Complaint] = []

    def partial(self, kind: type[msgspec.Struct], written: dict[str, Any], at: tuple[str | int, ...]) -> dict[str, Any]:
        """Convert the fields of a mapping that need not be complete. A wrong value becomes BAD, a null becomes None."""
        checked: dict[str, Any] = {}
        for key, value in written.items():
            annotation = self._annotation(kind, key, (*at, key))
            if annotation is not None:
                checked[key] = self._field(key, value, annotation, (*at, key))
            # A mistyped key stands for the one that was meant: nobody need be told that that one is missing, too.
            elif (meant := nearest(key, annotations_of(kind))) is not None and meant not in written:
                checked[meant] = BAD
        return checked

    def value(self, value: Any, annotation: Any, at: tuple[str | int, ...]) -> Any:
        branch = _branch(value, annotation)
        if get_origin(branch) is dict:
            return self._mapping(value, get_args(branch), at)
        if get_origin(branch) is tuple:
            items = tuple(self.value(item, get_args(branch)[0], (*at, i)) for i, item in enumerate(value))
            return BAD if any(item is BAD for item in items) else items
        if get_origin(branch) is list:  # somewhere inside of what is passed on as it stands
            parts = [self.value(item, Any, (*at, i)) for i, item in enumerate(value)]
            return BAD if any(part is BAD for part in parts) else parts
        return self._leaf(value, annotation, at) if branch is None else self._struct(branch, value, at)

    def complain(
        self, at: tuple[str | int, ...], message: str, *, hint: str | None = None, at_key: bool = False
    ) -> Any:
        self.complaints.append(Complaint(at=at, message=message, hint=hint, at_key=at_key))
        return BAD

    def _annotation(self, kind: type[msgspec.Struct], key: str, at: tuple[str | int, ...]) -> Any:
        known = annotations_of(kind)
        if key not in known:
            hint = did_you_mean(key, known) or f"known here: {', '.join(known)}"
            self.complain(at, f"found the unknown key {found(key).rpartition(' (')[0]}", hint=hint, at_key=True)
        return known.get(key)

    def setting(self, value: Any, annotation: Any, at: tuple[str | int, ...]) -> Any:
        """Like `value`, where null resets, and a text may stand in a file of its own."""
        if value is None:
            return None
        if isinstance(value, dict) and _may_be_a_file(annotation):
            return self._text_of_file(value, at)
        return self.value(value, annotation, at)

    def _field(self, key: str, value: Any, annotation: Any, at: tuple[str | int, ...]) -> Any:
        if key in SECTIONS and isinstance(value, dict):
            return self.partial(SECTIONS[key], value, at)
        return self.setting(value, annotation, at)

    def _text_of_file(self, written: dict[str, Any], at: tuple[str | int, ...]) -> Any:
        """The text in the file that `{file: PATH}` names, without the line break at its end."""
        if list(written) != ["file"]:
            return self.complain(at, f"found a mapping of {', '.join(written) or 'nothing'}, expected {{file: PATH}}")
        place = (*at, "file")
        try:
            path = self._path(Path, written["file"])
        except ValueError:
            return self.complain(place, f"found {found(written['file'])}, expected the path of a file")
        try:
            with path.open("rb") as file:
                content = file.read(LARGEST_TEXT + 1)
        except OSError as error:
            return self.complain(place, f"cannot read {path}: {error.strerror or error}")
        if len(content) > LARGEST_TEXT:
            return self.complain(place, f"found more than {LARGEST_TEXT:,} bytes in {path}, expected a text")
        try:
            return content.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            return self.complain(place, f"found bytes in {path} that are not UTF-8 (byte {error.start:,})")

    def _struct(self, kind: type[msgspec.Struct], written: dict[str, Any], at: tuple[str | int, ...]) -> Any:
        fields = self.partial(kind, written, at)
        missing = [
            field.name for field in msgspec.structs.fields(kind) if field.required and fields.get(field.name) is None
        ]
        for name in missing:
            self.complain(at, f"found no {name!r}, expected {expected(annotations_of(kind)[name])}")
        # fewer fields than were written: there were unknown keys
        if missing or BAD in fields.values() or len(fields) < len(written):
            return BAD
        return kind(**{name: value for name, value in fields.items() if value is not None})

    def _mapping(self, written: dict[str, Any], kinds: tuple[Any, ...], at: tuple[str | int, ...]) -> Any:
        keys, values = kinds
        checked = {}
        for key, value in written.items():
            if _convertible(key, keys):
                checked[key] = self.value(value, values, (*at, key))
            else:
                message = f"found the key {key!r}, expected {expected(keys)}"
                checked[key] = self.complain((*at, key), message, hint=_choice_hint(key, keys), at_key=True)
        return BAD if any(value is BAD for value in checked.values()) else checked

    def _leaf(self, value: Any, annotation: Any, at: tuple[str | int, ...]) -> Any:
        try:
            converted = msgspec.convert(value, annotation, strict=True, dec_hook=self._path)
        except msgspec.ValidationError:
            hint = _choice_hint(value, annotation) or quoting_hint(value, annotation)
            wanted = expected(annotation, mappings=not isinstance(value, str))
            return self.complain(at, f"found {found(value)}, expected {wanted}", hint=hint)
        if isinstance(converted, float) and not math.isfinite(converted):
            return self.complain(at, f"found {found(value)}, expected a finite number")
        if isinstance(converted, int) and abs(converted) > LARGEST_INTEGER:
            return self.complain(at, f"found {found(value)}, expected a whole number that fits in 64 bits")
        return converted

    def _path(self, kind: type, text: Any) -> Path:
        if not isinstance(text, str) or not text or "\0" in text:
            raise ValueError(f"{kind.__name__} expected")
        try:
            return (self.folder / text).resolve()
        except (OSError, RuntimeError) as error:
            raise ValueError(str(error)) from error


@cache
def annotations_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


@cache
def is_scalar(annotation: Any) -> bool:
    return all(isinstance(part, _SCALARS) for part in _parts(inspect.type_info(annotation)))


@cache
def is_text(annotation: Any) -> bool:
    parts = _parts(inspect.type_info(annotation))
    return all(isinstance(part, _TEXTS) and _is_text_literal(part) for part in parts)


def _is_text_literal(part: inspect.Type) -> bool:
    return not isinstance(part, inspect.LiteralType) or all(isinstance(value, str) for value in part.values)


def _parts(info: inspect.Type) -> list[inspect.Type]:
    if isinstance(info, inspect.Metadata):
        return _parts(info.type)
    if isinstance(info, inspect.UnionType):
        return [part for inner in info.types for part in _parts(inner)]
    return [info]


def _branch(value: Any, annotation: Any) -> Any:
    """The part of an annotation (struct, mapping or list) that fits the shape of the value; None if there is none."""
    for option in _options(annotation):
        if isinstance(value, dict) and (option is Any or get_origin(option) is dict or _is_struct(option)):
            return dict[str, Any] if option is Any else option
        if isinstance(value, list) and (option is Any or get_origin(option) is tuple):
            return list[Any] if option is Any else option
    return None


def _options(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _options(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return [option for part in get_args(annotation) for option in _options(part)]
    return [annotation]


def _may_be_a_file(annotation: Any) -> bool:
    metas = annotation.__metadata__ if get_origin(annotation) is Annotated else ()
    return any((meta.extra or {}).get("from_file") for meta in metas if isinstance(meta, msgspec.Meta))


def _is_struct(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, msgspec.Struct)


def _convertible(key: str, annotation: Any) -> bool:
    return get_origin(annotation) is not Literal or key in get_args(annotation)


def _choice_hint(value: Any, annotation: Any) -> str | None:
    return did_you_mean(
        value, [choice for choice in _choices(inspect.type_info(annotation)) if isinstance(choice, str)]
    )


def _choices(info: inspect.Type) -> list[Any]:
    if isinstance(info, inspect.Metadata):
        return list((info.extra or {}).get("choices", ())) or _choices(info.type)
    if isinstance(info, inspect.UnionType):
        return [value for part in info.types for value in _choices(part)]
    return list(info.values) if isinstance(info, inspect.LiteralType) else []
