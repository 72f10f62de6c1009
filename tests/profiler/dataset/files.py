"""Files of dialogues in every format, and what is wrong with them."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.errors import DatasetError, Problem
from profiler.dataset import file as dataset

if TYPE_CHECKING:
    from collections.abc import Callable

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None
Row = dict[str, Any]


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def as_lines(rows: list[Row]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def problems_of(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(DatasetError) as caught:
        dataset.survey(path)
    return caught.value.problems


def problem_of(path: Path) -> Problem:
    (problem,) = problems_of(path)
    return problem


def line_problem(tmp_path: Path, line: bytes | str) -> Problem:
    return problem_of(write(tmp_path / "d.jsonl", line))


def as_csv(rows: list[Row]) -> bytes:
    names = list(dict.fromkeys(itertools.chain(["dialogue_id", "user"], *rows)))
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(names)
    for row in rows:
        table.writerow([_cell(row.get(name)) for name in names])
    return text.getvalue().encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


ENCODE: dict[str, Callable[[list[Row]], bytes]] = {
    "jsonl": as_lines,
    "json": lambda rows: json.dumps(rows).encode(),
    "JSON": lambda rows: json.dumps(rows, indent=2, ensure_ascii=False).encode(),
    "csv": as_csv,
    "jsonl.gz": lambda rows: gzip.compress(as_lines(rows)),
}
