"""The text of a file, and the places in it that a message can point at.

`yaml_reader` fills a `Document` with the values and the place of every key and value.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from profiler.core.errors import ManifestError, Problem

Path = tuple[str | int, ...]

MAX_BYTES = 4 * 1024 * 1024
SHOWN_COLUMNS = 160

_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Place(NamedTuple):
    """A line and a column, both counted from 1."""

    line: int
    column: int


class Document(msgspec.Struct, kw_only=True):
    """The values of one file and their places. A path such as `("mock", "seed")` names one of them."""

    name: str
    text: str
    lines: list[str]
    value: Any = None
    keys: dict[Path, Place] = {}
    values: dict[Path, Place] = {}
    problems: list[Problem] = []

    def problem(self, path: Path, message: str, *, hint: str | None = None, at_key: bool = False) -> Problem:
        return self.problem_at(self.place(path, at_key=at_key), message, hint=hint)

    def place(self, path: Path, *, at_key: bool = False) -> Place:
        """Where the value (or its key) stands. For one that was never written, the place of its nearest parent."""
        if at_key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place(1, 1))

    def problem_at(self, place: Place, message: str, *, hint: str | None = None) -> Problem:
        return Problem(
            path=self.name,
            line=place.line,
            column=place.column,
            message=message,
            source=_shown(self.lines, place),
            hint=hint,
        )


def open_document(data: bytes, *, name: str) -> Document:
    if len(data) > MAX_BYTES:
        message = f"found a file of more than {MAX_BYTES:,} bytes, expected a manifest"
        raise ManifestError([Problem(path=name, message=message)])
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    document = Document(name=name, text=text, lines=_LINE_BREAK.split(text))
    _check_encoding(data, document)
    _check_characters(document)
    return document


def _check_encoding(data: bytes, document: Document) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _place_after(data[: error.start].decode("utf-8"))
        message = f"found the byte 0x{data[error.start]:02x}, expected text in UTF-8"
        raise ManifestError([document.problem_at(place, message)]) from error


def _check_characters(document: Document) -> None:
    if found := _NOT_TEXT.search(document.text):
        place = _place_after(document.text[: found.start()])
        message = f"found the control character U+{ord(found[0]):04X}, expected text"
        raise ManifestError([document.problem_at(place, message)])


def _place_after(before: str) -> Place:
    lines = _LINE_BREAK.split(before.removeprefix("\ufeff"))
    return Place(len(lines), len(lines[-1]) + 1)


def _shown(lines: list[str], place: Place) -> str | None:
    if place.line > len(lines) or place.column > SHOWN_COLUMNS:
        return None
    line = lines[place.line - 1]
    text = "".join(c if c.isprintable() else " " if c == "\t" else "\ufffd" for c in line[:SHOWN_COLUMNS])
    return text + "…" if len(line) > SHOWN_COLUMNS else text
