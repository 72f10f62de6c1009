"""Data frames as the raw bytes of their columns, so that reading one executes nothing.

A frame of numbers, booleans and texts becomes a description in plain values, and a blob of bytes for each column. Read
back it has the same values and types, on a fresh index.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBERS = frozenset({f"<{kind}{size}" for kind in "fiu" for size in (2, 4, 8)} | {"|i1", "|u1", "|b1"})
TEXTS = ("object", "str", "string", "category")


class Frames(list[pd.DataFrame]):
    """Frames that are turned into bytes only once, however often those are needed."""

    @cached_property
    def flat(self) -> list[tuple[dict[str, Any], list[bytes]]]:
        return [flatten(frame) for frame in self]


def flatten(frame: pd.DataFrame) -> tuple[dict[str, Any], list[bytes]]:
    """The description of a frame, and its blobs."""
    found = [_flat_column(str(name), values) for name, values in frame.items()]
    return {"rows": len(frame), "columns": [column for column, _ in found]}, [blob for _, blob in found]


def rebuild(shape: dict[str, Any], blobs: Iterator[memoryview]) -> pd.DataFrame:
    """The frame of a description; takes as many blobs as it has columns."""
    columns = {column["name"]: _column(column, next(blobs), rows=shape["rows"]) for column in shape["columns"]}
    return pd.DataFrame(columns, index=pd.RangeIndex(shape["rows"]))


def _flat_column(name: str, values: pd.Series[Any]) -> tuple[dict[str, Any], bytes]:
    kind = _kind(values.dtype)
    if kind in TEXTS:
        codes, texts = pd.factorize(np.asarray(values, dtype=object))
        return {"name": name, "type": kind, "texts": [_text(text, name) for text in texts]}, codes.astype(
            "<i4"
        ).tobytes()
    if kind not in NUMBERS:
        raise TypeError(f"column {name!r}: found {kind}, expected numbers, booleans or texts")
    return {"name": name, "type": kind}, values.to_numpy().tobytes()


@cache
def _kind(dtype: Any) -> str:
    """The name of a type; with its byte order if it is a plain one."""
    return dtype.newbyteorder("<").str if isinstance(dtype, np.dtype) and dtype.kind in "fiub" else str(dtype)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"column {name!r}: found {value!r} among texts, expected only texts and missing values")
    return value


def _column(column: dict[str, Any], blob: memoryview, *, rows: int) -> pd.Series[Any]:
    kind = column["type"]
    found: pd.Series[Any]
    if "texts" not in column:
        found = pd.Series(np.frombuffer(blob, dtype=kind, count=rows).astype(np.dtype(kind).newbyteorder("=")))
    else:
        codes = np.frombuffer(blob, dtype="<i4", count=rows)
        texts = np.array([*column["texts"], None], dtype=object)  # code -1, a missing value, takes the last element
        found = pd.Series(texts.take(codes, mode="wrap"), dtype=kind)
    return found
