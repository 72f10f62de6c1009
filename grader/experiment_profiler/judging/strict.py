"""Reads what a submission left behind, and trusts none of it.

Files come back as plain JSON values, or raise `BadArtifact` with the code of the reason. No link is followed, no pipe
is waited for, and nothing is read beyond its limit. A key may occur once; numbers are finite and fit into a double.
Must only be called when everything that could still write there is dead.
"""

from __future__ import annotations

import json
import math
import os
import stat
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

FILE_LIMIT: Final = 4 << 20
TEXT_LIMIT: Final = 256 << 10  # for one JSON text: a whole file, or a line of one
LINES_LIMIT: Final = 1000
DEPTH_LIMIT: Final = 16
DIGITS_LIMIT: Final = 20
SHOWN: Final = 60
SEARCH_LIMIT: Final = 2000
SEARCH_DEPTH: Final = 6

_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


class BadArtifact(Exception):
    """What was left behind cannot be used; `reason` is the code."""

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(said)
        self.reason = reason
        self.said = said


def quoted(value: object) -> str:
    """A value as a message may show it: ASCII, one line, short. It is cut first, so a huge one costs nothing."""
    if isinstance(value, str):
        return ascii(value[:SHOWN]) + ("…" if len(value) > SHOWN else "")
    text = ascii(value) if isinstance(value, (int, float, type(None))) else type(value).__name__
    return text[:SHOWN]


# --- from disk ------------------------------------------------------------------------------------------------------


def read(folder: Path, name: str) -> bytes:
    """The content of a regular file below `folder`, reached through real directories only."""
    *parents, last = PurePosixPath(name).parts
    opened: list[int] = []
    try:
        opened.append(os.open(folder, _FOLDER))
        for parent in parents:
            opened.append(_open(opened[-1], parent, flags=_FOLDER, name=name))
        opened.append(_open(opened[-1], last, flags=_FILE, name=name))
        return _content(opened[-1], name)
    except OSError as error:
        raise BadArtifact("bad_artifact", f"{name} cannot be read: {error.strerror}") from error
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _open(folder: int, part: str, *, flags: int, name: str) -> int:
    try:
        return os.open(part, flags, dir_fd=folder)
    except FileNotFoundError:
        raise BadArtifact("missing_artifact", f"{name} is missing") from None
    except OSError as error:
        raise BadArtifact("bad_artifact", f"{name} cannot be opened as a regular file: {error.strerror}") from error


def _content(descriptor: int, name: str) -> bytes:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise BadArtifact("bad_artifact", f"{name} is not a regular file of one name")
    if found.st_size > FILE_LIMIT:
        raise BadArtifact("bad_artifact", f"{name} holds {found.st_size} bytes, at most {FILE_LIMIT} are read")
    with os.fdopen(os.dup(descriptor), "rb") as file:
        content = file.read(FILE_LIMIT + 1)
    if len(content) > FILE_LIMIT:
        raise BadArtifact("bad_artifact", f"{name} holds more than {FILE_LIMIT} bytes")
    return content


def find(folder: Path, name: str, *, leave_out: Collection[str]) -> str | None:
    """Where a file of that name lies below `folder`. Looks at a limited number of entries, and follows no link."""
    waiting, seen = [(folder, 0)], 0
    while waiting:
        parent, depth = waiting.pop()
        for path, is_folder in _entries(parent):
            seen += 1
            if path.relative_to(folder).as_posix() in leave_out:
                continue
            if seen > SEARCH_LIMIT:
                return None
            if path.name == name:
                return path.relative_to(folder).as_posix()
            if depth < SEARCH_DEPTH and is_folder:
                waiting.append((path, depth + 1))
    return None


def _entries(folder: Path) -> list[tuple[Path, bool]]:
    """Each entry with whether it is a folder.

    The folder's listing tells that, which works even where the folder may be listed but not entered.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (folder / entry.name, entry.is_dir(follow_symlinks=False)) for entry in islice(entries, SEARCH_LIMIT)
            )
    except OSError:
        return []


# --- from bytes -----------------------------------------------------------------------------------------------------


def load(content: bytes, name: str, *, limit: int = TEXT_LIMIT) -> dict[str, Any]:
    """One JSON object."""
    if len(content) > limit:
        raise BadArtifact("bad_artifact", f"{name} holds {len(content)} bytes, at most {limit} are read")
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except (ValueError, RecursionError) as error:
        raise BadArtifact("bad_artifact", f"{name} is not strict JSON: {quoted(_first_line(error))}") from error
    if type(value) is not dict:
        raise BadArtifact("bad_artifact", f"{name} holds {quoted(value)}, expected an object")
    if _too_deep(value):
        raise BadArtifact("bad_artifact", f"{name} is nested more than {DEPTH_LIMIT} deep")
    return value


def load_lines(content: bytes, name: str) -> list[dict[str, Any]]:
    """One JSON object for each line; the last line may lack its newline."""
    lines = content.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    if len(lines) > LINES_LIMIT:
        raise BadArtifact("bad_artifact", f"{name} has {len(lines)} lines, at most {LINES_LIMIT} are read")
    return [load(line, f"line {number} of {name}") for number, line in enumerate(lines, start=1)]


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key stands twice")
    return value


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is not finite")
    return value


def _int(text: str) -> int:
    if len(text) > DIGITS_LIMIT:
        raise ValueError("a number has too many digits")
    return int(text)


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEPTH_LIMIT + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


# --- of exact types -------------------------------------------------------------------------------------------------


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether this is an int or a finite float. A bool is not, nor is a text that looks like a number."""
    return type(value) is int or (type(value) is float and math.isfinite(value))


def same(found: object, expected: object) -> bool:
    """Whether values are equal in type and value at every depth. A float may be written as a whole number."""
    if type(expected) is float:
        return is_number(found) and found == expected
    if type(found) is not type(expected):
        return False
    if isinstance(expected, dict) and isinstance(found, dict):
        return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list) and isinstance(found, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    return found == expected
