"""Writes and reads JSON files as this task uses them: logs with one record a line, and files with one value.

Both directions are strict: finite numbers only, no key twice in an object, UTF-8, a newline at the end of every line.
"""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType


class LogError(Exception):
    """A log cannot be read, or a line of it is not what it should be."""


class JsonlWriter:
    """Writes records to a file, one a line. It replaces an older file of that name.

    Use it in a `with` block: lines are buffered, and only when the block ends are all of them in the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, record: Mapping[str, Any]) -> None:
        self._file.write(dumps(record).encode() + b"\n")


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a log one by one. Only a newline ends a line: texts may hold other line separators."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield _record(line, place=f"{path}:{number}")
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}") from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a file as a whole: whoever reads it meanwhile sees the old content, never half of the new one."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(dumps(value, indent=2).encode() + b"\n")
    os.replace(draft, path)  # noqa: PTH105 (says that it replaces)


def dumps(value: Mapping[str, Any], *, indent: int | None = None) -> str:
    """Write a value as JSON. Raises ValueError for NaN and Infinity, which JSON does not have."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


def loads(text: bytes) -> Any:
    """Read strict JSON. Raises ValueError for anything else."""
    try:
        return json.loads(text.decode(), object_pairs_hook=_unique, parse_float=_finite, parse_constant=_constant)
    except RecursionError as error:
        raise ValueError("found values nested too deeply") from error


def _record(line: bytes, *, place: str) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise LogError(f"{place}: found a line without its end, expected a newline; the run was cut off")
    try:
        value = loads(line)
    except ValueError as error:
        raise LogError(f"{place}: found a line that is not strict JSON: {error}") from error
    if not isinstance(value, dict):
        raise LogError(f"{place}: found {type(value).__name__}, expected an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"found the key {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"found the number {text}, which is too large")
    return number


def _constant(text: str) -> float:
    raise ValueError(f"found {text}, which is no JSON")
