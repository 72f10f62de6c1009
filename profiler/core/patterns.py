"""Regular expressions that take time in proportion to the text, whatever they are: RE2's.

A score may not depend on how fast a machine is, so no clock may end a search; and with Python's own engine a pattern
such as `(a+)+$` can take forever on an answer that somebody else wrote.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

HINT = (
    "RE2's syntax is meant: everything but look-around and back-references; \\w, \\d and \\b mean ASCII, \\p{L} letters"
)


class BadPattern(ValueError):
    """Not a regular expression that can be searched for."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    import re2  # type: ignore[import-untyped]  # noqa: PLC0415 (only for metrics that have a pattern)

    options = re2.Options()
    options.log_errors = False  # it writes to stderr by itself
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else error
        raise BadPattern(said.decode(errors="replace") if isinstance(said, bytes) else str(said)) from None
