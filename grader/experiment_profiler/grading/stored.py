"""Results on disk. They are written whole, and as an error first.

So whoever finds the file of a killed grader finds an error in it, never a pass.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any


class StoredResultError(Exception):
    """A stored result cannot be read or written, or is not a result."""


def write(path: Path, result: dict[str, Any]) -> None:
    """Replace the file as a whole: a reader never sees half a result."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(pretty(result).encode())
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise StoredResultError(f"{path}: cannot be written: {error.strerror}; choose another --output") from error


def pretty(result: dict[str, Any]) -> str:
    return json.dumps(result, indent=2, allow_nan=False) + "\n"


def line(result: dict[str, Any]) -> str:
    return json.dumps(result, allow_nan=False) + "\n"


def read(path: Path, *, number: int | None = None) -> dict[str, Any]:
    """The result in a file, or in one line of it, counted from 1."""
    if number is not None and number < 1:
        raise StoredResultError(f"{path}: found no line {number}, lines are counted from 1")
    try:
        text = path.read_text(encoding="utf-8")
        result = json.loads(text if number is None else text.splitlines()[number - 1])
    except OSError as error:
        raise StoredResultError(f"{path}: cannot be read: {error.strerror}") from error
    except IndexError as error:
        raise StoredResultError(f"{path}: found no line {number}") from error
    except ValueError as error:
        raise StoredResultError(f"{path}: found no result: {error} (of several, say which with --line)") from error
    if not isinstance(result, dict) or not isinstance(result.get("asked"), dict):
        raise StoredResultError(f"{path}: found no result of a grading, expected an object with what was asked")
    return result
