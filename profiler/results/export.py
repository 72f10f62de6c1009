"""A run as one file that other programs read: CSV, JSON Lines, Parquet or SQLite.

Items are streamed twice, once to learn which columns there are, so memory does not grow with the run.
"""

from __future__ import annotations

import csv
import importlib
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from profiler.core.errors import StorageError, UsageError
from profiler.results.arrow import LARGEST, batches, kinds_of, pyarrow, schema_of
from profiler.results.table_columns import Columns
from profiler.storage.whole_file import drafted, spare_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from profiler.storage.reading.saved_run import SavedRun

FORMATS: Final = ("csv", "jsonl", "parquet", "sqlite")
STDOUT: Final = "-"
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
    columns = Columns(run, texts=texts, drop=drop, search_path=search_path)
    counted = _Counted(columns.rows())
    if output == STDOUT:
        if to not in _STREAMED:
            raise UsageError(f"--to {to}: cannot be written to stdout", hint="name a file with -o FILE")
        _STREAMED[to](columns.names, counted, sys.stdout.buffer, raw)
        return counted.number
    path = Path(output)
    spare_runs(path)
    with drafted(path) as draft:
        if to in _STREAMED:
            with draft.open("wb") as file:
                _STREAMED[to](columns.names, counted, file, raw)
        elif to == "sqlite":
            try:
                _write_sqlite(columns.names, counted, draft)
            except sqlite3.Error as error:
                raise StorageError(path, OSError(0, str(error)), answers=False) from error
        else:
            _write_parquet(columns.names, counted, draft, kinds_of(columns.rows(), columns.names))
    return counted.number


class _Counted:
    """Passes rows on, and counts them."""

    def __init__(self, rows: Iterator[list[Any]]) -> None:
        self._rows = rows
        self.number = 0

    def __iter__(self) -> Iterator[list[Any]]:
        for row in self._rows:
            self.number += 1
            yield row


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
    """One table, `items`. SQLite has neither lists nor true and false: those are JSON text, these 1 and 0. Whole numbers
    that it cannot hold are text."""
    quoted = ", ".join('"{}"'.format(name.replace('"', '""')) for name in _told_apart(names))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA journal_mode = OFF")  # the file is whole or not there at all
        database.execute(f"CREATE TABLE {TABLE} ({quoted})")
        places = ", ".join("?" * len(names))
        database.executemany(
            f"INSERT INTO {TABLE} VALUES ({places})",  # noqa: S608 (nothing but question marks)
            ([_stored(value) for value in row] for row in rows),
        )


def _told_apart(names: list[str]) -> Iterator[str]:
    """To SQLite names of columns are the same where only the case of ASCII letters differs: the second one is `name_2`."""
    taken: set[bytes] = set()
    for name in (each.replace("\0", "\N{REPLACEMENT CHARACTER}") for each in names):
        free = next(
            tried
            for tried in (name, *(f"{name}_{number}" for number in range(2, len(names) + 2)))
            if tried.encode().lower() not in taken
        )
        taken.add(free.encode().lower())
        yield free


def _stored(value: Any) -> Any:
    if isinstance(value, int) and value > LARGEST:
        return str(value)
    return msgspec.json.encode(value).decode() if isinstance(value, list | tuple | dict) else value


def _write_parquet(names: list[str], rows: _Counted, path: Path, kinds: list[set[type]]) -> None:
    arrow, parquet = pyarrow(), importlib.import_module("pyarrow.parquet")
    schema = schema_of(arrow, names, kinds)
    with parquet.ParquetWriter(path, schema) as writer:
        for batch in batches(arrow, schema, rows):
            writer.write_batch(batch)


_STREAMED: Final[dict[str, Callable[[list[str], _Counted, IO[bytes], bool], None]]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
}
