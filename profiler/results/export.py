"""A run as one file that other programs read: CSV, JSON Lines, Parquet or SQLite.

Items are streamed twice, once to learn which columns there are, so memory does not grow with the run.
"""

from __future__ import annotations

import csv
import importlib
import os
import sqlite3
import sys
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from profiler.core.errors import StorageError, UsageError
from profiler.results.rows import Columns
from profiler.storage.whole_file import draft_of, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from profiler.storage.saved_run import SavedRun

FORMATS: Final = ("csv", "jsonl", "parquet", "sqlite")
STDOUT: Final = "-"
BATCH: Final = 4_096
RUN_BY_SPREADSHEETS: Final = ("=", "+", "-", "@", "\t", "\r")
TABLE: Final = "items"


def export(
    run: SavedRun,
    output: str,
    *,
    to: str,
    raw: bool = False,
    texts: bool = True,
    drop: tuple[str, ...] = (),
    search_path: Path | None = None,
) -> int:
    """Write the table, whole or not at all, and return how many rows it has."""
    scores = [metric.name for metric in run.metrics(search_path=search_path) if metric.score is not None]
    columns = Columns(run.items(search_path=search_path), scores=scores, texts=texts, drop=drop)
    counted = _Counted(columns.rows(run.items(search_path=search_path)))
    if output == STDOUT:
        if to not in _STREAMED:
            raise UsageError(f"--to {to}: cannot be written to stdout", hint="name a file with -o FILE")
        _STREAMED[to](columns.names, counted, sys.stdout.buffer, raw)
        return counted.number
    path = Path(output)
    with _draft(path) as draft:
        if to in _STREAMED:
            with draft.open("wb") as file:
                _STREAMED[to](columns.names, counted, file, raw)
        elif to == "sqlite":
            _write_sqlite(columns.names, counted, draft)
        else:
            kinds = _kinds(columns.rows(run.items(search_path=search_path)))
            _write_parquet(columns.names, counted, draft, kinds)
    return counted.number


class _Counted:
    """Rows, and how many have passed."""

    def __init__(self, rows: Iterator[list[Any]]) -> None:
        self._rows = rows
        self.number = 0

    def __iter__(self) -> Iterator[list[Any]]:
        for row in self._rows:
            self.number += 1
            yield row


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """A file beside the one that is wanted, which takes its name when it is whole."""
    draft = draft_of(path)
    try:
        draft.unlink(missing_ok=True)
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        replace(draft, path)
    except OSError as error:
        raise StorageError(path, error) from error
    except sqlite3.Error as error:
        raise StorageError(path, OSError(0, str(error))) from error
    finally:
        draft.unlink(missing_ok=True)


def _write_csv(names: list[str], rows: _Counted, file: IO[bytes], raw: bool) -> None:
    """Lists and objects as JSON. Unless it is to be raw, a quote stands before what a spreadsheet would take for a
    formula and run."""
    text = _Encoded(file)
    table = csv.writer(text, lineterminator="\n")
    table.writerow(names)
    cell = _cell if raw else _harmless_cell
    for row in rows:
        table.writerow([cell(value) for value in row])


class _Encoded:
    """csv writes text; a wrapper of the standard library would close the file with it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._write = file.write

    def write(self, text: str) -> int:
        return self._write(text.encode("utf-8", errors="surrogatepass"))


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return msgspec.json.encode(value).decode() if isinstance(value, list | tuple | dict) else value


def _harmless_cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(RUN_BY_SPREADSHEETS) else _cell(value)


def _write_jsonl(names: list[str], rows: _Counted, file: IO[bytes], _: bool) -> None:
    encode = msgspec.json.Encoder().encode
    for row in rows:
        file.write(encode(dict(zip(names, row, strict=True))) + b"\n")


def _write_sqlite(names: list[str], rows: _Counted, path: Path) -> None:
    """One table, `items`. SQLite has neither lists nor true and false: those are JSON text, these 1 and 0."""
    quoted = ", ".join('"{}"'.format(name.replace('"', '""')) for name in names)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA journal_mode = OFF")  # the file is whole or not there at all
        database.execute(f"CREATE TABLE {TABLE} ({quoted})")
        places = ", ".join("?" * len(names))
        database.executemany(
            f"INSERT INTO {TABLE} VALUES ({places})",  # noqa: S608 (nothing but question marks)
            ([_stored(value) for value in row] for row in rows),
        )


def _stored(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, list | tuple | dict) else value


def _write_parquet(names: list[str], rows: _Counted, path: Path, kinds: list[set[type]]) -> None:
    """A column keeps its type where all its values share one; columns of mixed values and objects are JSON text."""
    arrow, parquet = _pyarrow()
    types = [_arrow_type(arrow, kind) for kind in kinds]
    schema = arrow.schema([(name, found or arrow.string()) for name, found in zip(names, types, strict=True)])
    with parquet.ParquetWriter(path, schema) as writer:
        remaining = iter(rows)
        while batch := list(islice(remaining, BATCH)):
            columns = [
                [_as_text(value) for value in column] if found is None else list(column)
                for found, column in zip(types, zip(*batch, strict=True), strict=True)
            ]
            writer.write_batch(arrow.record_batch(columns, schema=schema))


def _as_text(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _arrow_type(arrow: Any, kinds: set[type]) -> Any:
    """None for what has to become JSON text."""
    if kinds == {int, float}:
        return arrow.float64()
    if len(kinds) > 1:
        return None
    (kind,) = kinds or {str}
    simple = {bool: arrow.bool_(), int: arrow.int64(), float: arrow.float64(), str: arrow.string()}
    return arrow.list_(arrow.string()) if kind is list else simple.get(kind)


def _kinds(rows: Iterator[list[Any]]) -> list[set[type]]:
    """The types of the values of each column; a list counts as one only where it holds nothing but texts."""
    found: list[set[type]] = []
    for row in rows:
        found = found or [set() for _ in row]
        for kinds, value in zip(found, row, strict=True):
            if value is not None:
                kinds.add(_kind(value))
    return found


def _kind(value: Any) -> type:
    if isinstance(value, list | tuple):
        return list if all(isinstance(each, str) for each in value) else dict
    return type(value)


def _pyarrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        hint = "pip install 'experiment-profiler[parquet]'"
        raise UsageError("writing Parquet needs pyarrow, which is not installed", hint=hint) from None


_STREAMED: Final[dict[str, Callable[[list[str], _Counted, IO[bytes], bool], None]]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
}
