"""Data frames as raw bytes of their columns, so that nothing is executed when they are read.

Comes in: frames of numbers, booleans and texts. Goes out: a description in plain values with one or two blobs a column,
and back: the same values and types, on a fresh index. Knows nothing of targets or of who reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TEXTS = ("object", "str", "string", "category")


def flatten(frame: pd.DataFrame) -> tuple[dict[str, Any], list[bytes]]:
    """What a frame is, and its bytes."""
    columns: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name in frame.columns:
        column, blob = _flat_column(str(name), frame[name])
        columns.append(column)
        blobs.append(blob)
    return {"rows": len(frame), "columns": columns}, blobs


def rebuild(shape: dict[str, Any], blobs: Iterator[memoryview]) -> pd.DataFrame:
    """The frame of a description; takes as many blobs as it has columns."""
    columns = {column["name"]: _column(column, next(blobs), rows=shape["rows"]) for column in shape["columns"]}
    return pd.DataFrame(columns, index=pd.RangeIndex(shape["rows"]))


def rebuild_all(shapes: Sequence[dict[str, Any]], blobs: Sequence[memoryview]) -> list[pd.DataFrame]:
    rest = iter(blobs)
    return [rebuild(shape, rest) for shape in shapes]


def _flat_column(name: str, values: pd.Series[Any]) -> tuple[dict[str, Any], bytes]:
    kind = str(values.dtype)
    if kind in TEXTS:
        codes, texts = pd.factorize(values, sort=False)
        known = [_text(text, name) for text in texts]
        return {"name": name, "type": kind, "texts": known}, codes.astype("<i4").tobytes()
    if not isinstance(values.dtype, np.dtype) or values.dtype.kind not in "fiub":
        raise TypeError(f"column {name!r}: found {kind}, expected numbers, booleans or texts")
    return {"name": name, "type": values.dtype.newbyteorder("<").str}, values.to_numpy().tobytes()


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
        texts = np.array([*column["texts"], None], dtype=object)  # the code of a missing value is that of the last
        found = pd.Series(texts.take(codes, mode="wrap"), dtype=kind)
    return found
