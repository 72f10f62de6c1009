"""Bytes to values and back: the one place that knows which JSON library does which job.

orjson writes and reads plain values (the fastest both ways); msgspec decodes straight into the
checked structs of `model`. Knows nothing of files.
"""

from __future__ import annotations

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
