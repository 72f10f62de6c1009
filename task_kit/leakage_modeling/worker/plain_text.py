"""Text that can be stored, sent and shown, whatever somebody put into it: both sides of a worker clean what they are given.

Half characters (lone surrogates) make every JSON writer fail, and control characters rule terminals. Standard library only, as
the worker uses it too.
"""

from __future__ import annotations

import re
from typing import Any

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline
DEEPEST = 60  # of values within values
LARGEST_NUMBER = 1 << 63


def clean(text: str, *, most: int | None = None) -> str:
    """The same text without half characters and control characters, and no longer than it may be."""
    if most is not None and len(text) > most:
        text = f"{text[: max(0, most - 1)]}…"
    return CONTROL.sub("?", text.encode("utf-8", "replace").decode())


def clean_value(value: Any, *, depth: int = 0) -> Any:
    """A value from JSON whose texts, numbers and depth every JSON writer can take."""
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
    """The beginning of a text that fits into so many bytes of UTF-8, with a word about the rest."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= most:
        return text
    note = f"\n… {len(raw) - most:,} more bytes were cut"
    kept = raw[: max(0, most - len(note.encode()))].decode("utf-8", "ignore")
    return (kept + note) if most > len(note.encode()) else note.encode()[: max(0, most)].decode("utf-8", "ignore")
