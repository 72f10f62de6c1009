"""Cuts a JSON array into the bytes of its elements, reading a piece of the file at a time.

It is written by hand because nothing else fits: json, orjson and msgspec want the whole array in memory, and streaming
parsers return events or values one by one in Python, several times slower than cutting here and decoding there.

An element ends where its brackets balance. A regular expression jumps from bracket to bracket over whole strings.
Whether the element is valid JSON is left to its decoder.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1 << 16
_SPACE = re.compile(rb"[ \t\r\n]*")
_SCALAR = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^,\[\]{}" \t\r\n]+', re.DOTALL)
_TO_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+', re.DOTALL)


class Element(NamedTuple):
    line: int
    column: int
    raw: bytes


class Broken(Exception):
    """The array itself is wrong here, so nothing after this place can be read.

    `raw` is what was read of an element without an end: its decoder may know better where it went wrong.
    """

    def __init__(self, message: str, *, line: int, column: int, hint: str | None = None, raw: bytes = b"") -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.hint = hint
        self.raw = raw


def elements(stream: IO[bytes], *, longest: int) -> Iterator[Element]:
    """The elements in order.

    Raises `Broken` when this is not an array, or an element is longer than `longest` bytes.
    """
    window = _Window(stream, longest=longest)
    window.open_array()
    more = not window.closed_at_once()
    while more:
        yield window.element()
        more = window.separator()
    window.nothing_left()


class _Window:
    """A piece of the file. Reading continues at `_at`; what lies before it is dropped at the next refill."""

    def __init__(self, stream: IO[bytes], *, longest: int) -> None:
        self._stream = stream
        self._longest = longest
        self._data = b""
        self._at = 0
        self._line, self._column = 1, 1  # of the byte at _counted
        self._counted = 0

    def open_array(self) -> None:
        char = self._next_char()
        if not char:
            raise self._broken("the file is empty, expected a JSON array of dialogues")
        if char != b"[":
            what = {b"{": "an object", b'"': "a string"}.get(char, repr(char.decode(errors="replace")))
            hint = "one object a line is JSON Lines: name the file .jsonl" if char == b"{" else None
            raise self._broken(f"expected '[', the start of an array of dialogues, found {what}", hint=hint)
        self._at += 1

    def closed_at_once(self) -> bool:
        if self._next_char() != b"]":
            return False
        self._at += 1
        return True

    def element(self) -> Element:
        char = self._next_char()
        if char in {b",", b"]", b"}", b""}:
            raise self._broken(f"expected a dialogue, found {_name(char)}")
        line, column = self._place()
        end = self._element_end(char)
        raw = self._data[self._at : end]
        self._at = end
        return Element(line, column, raw)

    def separator(self) -> bool:
        """True after a comma, False after the bracket that closes the array."""
        char = self._next_char()
        if char not in {b",", b"]"}:
            raise self._broken(f"expected ',' or ']' after a dialogue, found {_name(char)}")
        self._at += 1
        return char == b","

    def nothing_left(self) -> None:
        if char := self._next_char():
            raise self._broken(f"expected nothing after the array, found {_name(char)}")

    def _element_end(self, char: bytes) -> int:
        if char not in b"{[":
            return self._scalar_end()
        if char == b"{" and (end := self._flat_end()) is not None:
            return end
        return self._balanced_end()

    def _balanced_end(self) -> int:
        done, depth = 0, 0  # `done` counts from `_at`, which a refill moves to the same byte
        while True:
            stop = self._bracket(self._at + done)
            done = stop - self._at
            char = self._data[stop : stop + 1]
            if char in {b"", b'"'}:  # the end of the window, or a string that does not end in it
                self._need_more()
                continue
            done += 1
            depth += 1 if char in b"{[" else -1
            if depth == 0:
                return stop + 1

    def _flat_end(self) -> int | None:
        """The end of an element at its first closing brace, if that surely is its end; else None.

        That is so when nothing is nested before it and no string is open there. Most dialogues are like this, and
        counting quotes is five times faster than the regular expression.
        """
        end = self._data.find(b"}", self._at) + 1
        inside = self._data[self._at : end]
        # An escaped backslash would make the count of escaped quotes wrong: in "\\" the last quote is not escaped.
        if not end or inside.count(b"{") > 1 or b"\\\\" in inside:
            return None
        quotes = inside.count(b'"') - inside.count(b'\\"')
        return end if quotes % 2 == 0 else None

    def _bracket(self, position: int) -> int:
        match = _TO_BRACKET.match(self._data, position)
        return match.end() if match else position

    def _scalar_end(self) -> int:
        while True:
            match = _SCALAR.match(self._data, self._at)
            if match and match.end() < len(self._data):
                return match.end()
            self._need_more()

    def _need_more(self) -> None:
        if len(self._data) - self._at > self._longest:
            reason = f"a dialogue longer than {self._longest >> 20} MiB, or one whose quotes or brackets do not close"
            raise self._broken(reason, raw=self._data[self._at :])
        if not self._refill():
            raise self._broken("this dialogue is never closed: the file ends first", raw=self._data[self._at :])

    def _next_char(self) -> bytes:
        char = self._data[self._at : self._at + 1]
        if char > b" ":
            return char
        while True:
            match = _SPACE.match(self._data, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._data) or not self._refill():
                return self._data[self._at : self._at + 1]

    def _refill(self) -> bool:
        # Reads as much again as is kept, so that a long element is copied only a logarithmic number of times.
        kept = self._data[self._at :]
        more = self._stream.read(max(CHUNK, len(kept)))
        self._place()
        self._data = kept + more
        self._at = self._counted = 0
        return bool(more)

    def _place(self) -> tuple[int, int]:
        passed = self._data[self._counted : self._at]
        self._counted = self._at
        if newlines := passed.count(b"\n"):
            self._line += newlines
            self._column = 1
            passed = passed[passed.rfind(b"\n") + 1 :]
        self._column += len(passed.decode(errors="replace"))
        return self._line, self._column

    def _broken(self, message: str, *, hint: str | None = None, raw: bytes = b"") -> Broken:
        line, column = self._place()
        return Broken(message, line=line, column=column, hint=hint, raw=raw)


def _name(char: bytes) -> str:
    return repr(char.decode(errors="replace")) if char else "the end of the file"
