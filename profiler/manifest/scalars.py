"""The meaning of plain (unquoted) YAML scalars by the core rules of YAML 1.2: a number, true, false, null, or text.

PyYAML itself follows YAML 1.1, where `no` is false and `012` is 10.
"""

from __future__ import annotations

import re
from typing import Any

MAX_NUMBER_CHARACTERS = 40

_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

_CORE_RULES: tuple[tuple[re.Pattern[str], Any], ...] = (
    (re.compile(r"null|Null|NULL|~|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (_DECIMAL, int),
    (_OCTAL_OR_HEX, lambda text: int(text, 0)),
    (_FLOAT, float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", "", 1))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda _: float("nan")),
)


def scalar_of(text: str) -> Any:
    # The order matters: a whole number would also match the rule for floats.
    for rule, meaning in _CORE_RULES:
        if rule.fullmatch(text):
            return meaning(text)
    return text


def is_endless_number(text: str) -> bool:
    """Whether this is a number so long that nobody means it, and that Python may refuse or take long to convert."""
    numbers = (_DECIMAL, _OCTAL_OR_HEX, _FLOAT)
    return len(text) > MAX_NUMBER_CHARACTERS and any(rule.fullmatch(text) for rule in numbers)
