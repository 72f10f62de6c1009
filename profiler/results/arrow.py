"""Rows as tables of Arrow, which Parquet files and data frames are made of."""

from __future__ import annotations

import importlib
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from profiler.core.errors import UsageError
from profiler.results.table_columns import usual_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

BATCH: Final = 4_096

LARGEST: Final = 2**63 - 1  # the largest whole number of most formats; logs hold up to 2**64 - 1

Kinds = list[set[type]]


class Large(int):
    """Stands for the type of whole numbers beyond LARGEST."""


def pyarrow() -> Any:
    return needed("pyarrow", install="'experiment-profiler[parquet]'")


def needed(package: str, *, install: str) -> Any:
    """Import a package that not everybody has. Where it is missing, the error says how to `install` it with pip."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise UsageError(f"this needs {package}, which is not installed", hint=f"pip install {install}") from None


def kinds_of(rows: Iterable[list[Any]], names: Sequence[str]) -> Kinds:
    """The types of the values of each column, and the usual type of one without any.

    A list counts as one only where it holds nothing but texts.
    """
    found: Kinds = [set() for _ in names]
    for row in rows:
        for kinds, value in zip(found, row, strict=True):
            if value is not None:
                kinds.add(_kind(value))
    return [kinds or {usual_type(name)} for kinds, name in zip(found, names, strict=True)]


def _kind(value: Any) -> type:
    if isinstance(value, list | tuple):
        return list if all(isinstance(each, str) for each in value) else dict
    return Large if isinstance(value, int) and value > LARGEST else type(value)


def schema_of(arrow: Any, names: Sequence[str], kinds: Kinds) -> Any:
    """A column keeps its type where all its values share one; columns of mixed values and objects are JSON text."""
    types = [_type_of(arrow, kind) for kind in kinds]
    fields = [
        arrow.field(name, found or arrow.string(), metadata=None if found else {"json": "true"})
        for name, found in zip(names, types, strict=True)
    ]
    return arrow.schema(fields)


def _type_of(arrow: Any, kinds: set[type]) -> Any:
    """The type of Arrow for a column with values of these kinds; None for what has to become JSON text."""
    if kinds == {int, float}:
        return arrow.float64()
    if Large in kinds and kinds <= {int, Large}:
        return arrow.decimal128(20)  # holds them all, those below zero too, to the digit
    if len(kinds) > 1:
        return None
    (kind,) = kinds
    simple = {bool: arrow.bool_(), int: arrow.int64(), float: arrow.float64(), str: arrow.string()}
    return arrow.list_(arrow.string()) if kind is list else simple.get(kind)


def batches(arrow: Any, schema: Any, rows: Iterable[list[Any]]) -> Iterator[Any]:
    """The rows as record batches."""
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH)):
        columns = [
            [_as_text(value) for value in column] if field.metadata else list(column)
            for field, column in zip(schema, zip(*batch, strict=True), strict=True)
        ]
        yield arrow.record_batch(columns, schema=schema)


def _as_text(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
