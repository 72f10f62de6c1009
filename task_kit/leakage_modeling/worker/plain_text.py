"""Cleans text that somebody else wrote, so that it can be stored, sent and shown. Both sides of a worker use it.

Half characters (lone surrogates) make JSON writers fail, and control characters steer terminals. Uses only the standard
library, because the worker uses it too.
"""

from __future__ import annotations

import re
from typing import Any

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline
DEEPEST = 60  # levels of nested values
LARGEST_NUMBER = 1 << 63


def clean(text: str, *, most: int | None = None) -> str:
    """The text without half characters and control characters, cut at `most`."""
    if most is not None and len(text) > most:
        text = f"{text[: max(0, most - 1)]}…"
    return CONTROL.sub("?", text.encode("utf-8", "replace").decode())


def clean_value(value: Any, *, depth: int = 0) -> Any:
    """A value from JSON, with texts, numbers and depth that every JSON writer accepts."""
    found = value
    if depth > DEEPEST:
        found = "… (nested too deep)"
    elif isinstance(value, str):
        found = clean(value)
    elif isinstance(value, int) and not -LARGEST_NUMBER <= value < LARGEST_NUMBER:
        found = float("inf") if value > 0 else float("-inf")
    elif isinstance(value, dict):
        found = {clean(str(name)): clean_value(inner, depth=depth + 1) for name, inner in value.items()}
    elif isinstance(value, list | tuple):
        found = [clean_value(inner, depth=depth + 1) for inner in value]
    elif not isinstance(value, int | float | None):
        found = type(value).__name__
    return found


def within_bytes(text: str, most: int) -> str:
    """The beginning of a text that fits into so many bytes of UTF-8, with a note about the rest."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= most:
        return text
    note = f"\n… {len(raw) - most:,} more bytes were cut"
    kept = raw[: max(0, most - len(note.encode()))].decode("utf-8", "ignore")
    return (kept + note) if most > len(note.encode()) else note.encode()[: max(0, most)].decode("utf-8", "ignore")
