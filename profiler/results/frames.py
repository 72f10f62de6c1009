"""A run as one table in memory, for notebooks: of Arrow or of pandas, where these are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.results.arrow import batches, kinds_of, needed, pyarrow, schema_of
from profiler.results.table_columns import Columns
from profiler.storage.reading.saved_run import SavedRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from pathlib import Path

DTYPES = {
    bool: "boolean",
    int: "Int64",
    float: "float64",
    str: "string",
}  # of pandas; those with a capital know missing values


class Run(SavedRun):
    """One run directory, read only. Its tables have a row an item, and the columns that `profiler export` writes."""

    def to_arrow(self, *, texts: bool = True, drop: Sequence[str] = (), search_path: Path | None = None) -> Any:
        """A `pyarrow.Table`. Without `texts` nothing of what was asked and answered is in it."""
        arrow = pyarrow()
        columns, rows = self._rows(texts, drop, search_path)
        schema = schema_of(arrow, columns.names, kinds_of(rows, columns.names))
        return arrow.Table.from_batches(batches(arrow, schema, rows), schema=schema)

    def to_pandas(self, *, texts: bool = True, drop: Sequence[str] = (), search_path: Path | None = None) -> Any:
        """A `pandas.DataFrame`. Whole numbers and true/false stay that where some are missing."""
        pandas = needed("pandas", install="pandas")
        columns, rows = self._rows(texts, drop, search_path)
        kinds = kinds_of(rows, columns.names)
        values = zip(*rows, strict=True) if rows else ([] for _ in columns.names)
        return pandas.DataFrame(
            {
                name: pandas.Series(list(column), dtype=_dtype(kind))
                for name, kind, column in zip(columns.names, kinds, values, strict=True)
            }
        )

    def _rows(self, texts: bool, drop: Sequence[str], search_path: Path | None) -> tuple[Columns, list[list[Any]]]:
        columns = Columns(self, texts=texts, drop=drop, search_path=search_path)
        return columns, list(columns.rows())


def read_run(log_dir: str | PathLike[str]) -> Run:
    return Run(log_dir)


def _dtype(kinds: set[type]) -> str:
    if kinds == {int, float}:
        return "float64"
    return DTYPES.get(next(iter(kinds)), "object") if len(kinds) == 1 else "object"
