"""Reads Parquet files like the other formats; pyarrow is needed only for this."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from profiler.core import json as codec
from profiler.core.errors import UsageError
from profiler.dataset.explain import Rejected, RowFault
from profiler.dataset.formats import JSON_CELLS, json_cell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from profiler.dataset.formats import Item, Reporter

_BATCH = 1024


def parquet_rows(path: Path, *, start: int, report: Reporter) -> Iterator[Item]:
    """Rows with their numbers, counted from 1, in place of lines."""
    parquet, problems = _pyarrow()
    try:
        with parquet.ParquetFile(path) as file:
            for number, row in _parquet_mappings(file, start=start):
                try:
                    dialogue = report.decoded(_plain(report.renamed(_present(row), number=number)), line=number)
                except Rejected as faults:
                    report.row(faults, line=number)
                    yield number, None
                else:
                    yield number, dialogue
    except problems as error:
        report.at(f"not a Parquet file that can be read: {error}", line=None)


def _pyarrow() -> tuple[Any, tuple[type[Exception], ...]]:
    try:
        # Optional and slow to import, so only when a Parquet file is read.
        pyarrow = importlib.import_module("pyarrow")
        return importlib.import_module("pyarrow.parquet"), (pyarrow.ArrowException,)
    except ImportError:
        raise UsageError(
            "reading Parquet needs pyarrow, which is not installed",
            hint="pip install 'experiment-profiler[parquet]'",
        ) from None


def _parquet_mappings(file: Any, *, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if number + rows <= start:
            number += rows
            continue
        for batch in file.iter_batches(batch_size=_BATCH, row_groups=[group]):
            for row in batch.to_pylist():
                number += 1
                if number > start:
                    yield number, row


def _present(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


def _plain(present: dict[str, Any]) -> dict[str, Any]:
    """The row as JSON would have it: dates as texts, and JSON kept in text columns decoded."""
    try:
        plain: dict[str, Any] = codec.loads(codec.dumps(present))
    except TypeError as error:
        raise Rejected(RowFault(message=f"a value that JSON cannot hold: {error}")) from None
    for key in JSON_CELLS & plain.keys():
        if isinstance(plain[key], str):
            plain[key] = json_cell(key, plain[key])
    return plain
