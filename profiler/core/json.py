"""Bytes to values and back; the one place that decides which JSON library does which job.

orjson reads and writes plain values, at which it is the fastest; msgspec decodes straight into the checked structs of
`nouns`; the standard library reads what neither of them accepts.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec
import orjson

JSONDecodeError = orjson.JSONDecodeError
DecodeError = msgspec.DecodeError

encode = msgspec.json.encode
encode_lines = msgspec.json.Encoder().encode_lines
dumps = orjson.dumps
loads = orjson.loads


def dump_line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def dump_pretty(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


_HALF_CHARACTERS = re.compile("[\ud800-\udfff]")


def dump_leniently(value: Any) -> bytes:
    """Plain values as JSON, whatever their strings hold: half a character (a lone surrogate) becomes U+FFFD."""
    text = json.dumps(value, ensure_ascii=False)
    return whole_characters(text).encode()


def load_leniently(body: bytes) -> Any:
    """The first JSON value in bytes that a strict decoder refuses.

    It accepts a byte order mark, bytes that are not UTF-8, half characters, numbers that are not finite (they become
    texts), and anything after the value. Raises ValueError when there is no value at all.
    """
    text = body.decode("utf-8-sig", "replace").lstrip()
    reader = json.JSONDecoder(strict=False, parse_constant=str, parse_float=_finite)
    return reader.raw_decode(text)[0]


def whole_characters(text: str) -> str:
    """The text with U+FFFD in place of half characters (lone surrogates), which cannot be written to a file."""
    return _HALF_CHARACTERS.sub("\ufffd", text)


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text
