"""Blocks of dialogues, made small: like values stand together, and what is the same for all stands once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.results.report.side_by_side import Row

_ABSENT: Final = object()


def columns_of(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each run what was asked and what came back, as columns; `count` rows of which the `absent` ones have none."""
    return [
        {
            "count": len(rows),
            "absent": [place for place, item in enumerate(items) if item is None],
            "asked": _columns([{} if item is None else item.request for item in items]),
            "got": _columns([{} if item is None else item.record for item in items]),
        }
        for items in zip(*rows, strict=True)
    ]


def _columns(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`all`: values that every line has; `each`: a value for each line; `lacking`: the lines without that key."""
    same: dict[str, Any] = {}
    each: dict[str, list[Any]] = {}
    lacking: dict[str, list[int]] = {}
    for key in dict.fromkeys(key for line in lines for key in line):
        column = [line.get(key, _ABSENT) for line in lines]
        if all(value == column[0] and type(value) is type(column[0]) for value in column):
            same[key] = column[0]
            continue
        if gaps := [place for place, value in enumerate(column) if value is _ABSENT]:
            lacking[key] = gaps
            column = [None if value is _ABSENT else value for value in column]
        each[key] = column
    return {"all": same, "each": each, "lacking": lacking}


# --- Bytes as text --------------------------------------------------------------------------------------------------

# A file of two bytes a character holds two bytes of data in each, where base64 would make them nearly three. Some
# characters cannot stand in HTML as they are: half characters, NUL, a carriage return, and the sign that opens a tag.
ESCAPE: Final = "\ue000"
_SPECIAL: Final = re.compile("[\x00\r<\ue000\ud800-\udfff]")
_SHIFTED_SURROGATES: Final = 0xD800 - 0x0100
_SHIFTED_OTHERS: Final = 0x10


def as_characters(content: bytes) -> str:
    """Bytes as characters, two in each; an odd last byte gets a partner, so the length must be told beside it."""
    text = (content + b"\0" * (len(content) % 2)).decode("utf-16-le", "surrogatepass")
    return _SPECIAL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    unit = ord(match[0])
    if unit >= 0xE000:
        return ESCAPE + ESCAPE
    return ESCAPE + chr(unit - _SHIFTED_SURROGATES if unit >= 0xD800 else unit + _SHIFTED_OTHERS)
