"""A text that a regular expression matches, drawn from a seed. Anchors hold by themselves; look-arounds are not
obeyed."""

from __future__ import annotations

import importlib
import re
import string
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

MOST_REPEATS = 3  # more than must be, where a pattern sets no end
_PRINTABLE = string.ascii_letters + string.digits + " _-.,:;!?#@/+*()"
_SETS = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": string.ascii_letters + string.digits + "_",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": string.ascii_letters,
    "CATEGORY_NOT_WORD": " -.",
    "CATEGORY_NOT_SPACE": string.ascii_letters + string.digits,
}
_parser: Any = importlib.import_module("re._parser")  # the standard library's own reading of patterns


def text_matching(pattern: str, random: Random) -> str:
    """A text that the pattern matches; any word where it is not one that Python can read."""
    try:
        parsed = _parser.parse(pattern)
    except (re.error, OverflowError, RecursionError):
        return "unmatched"
    return _sequence(parsed, random, {})


def _sequence(items: Any, random: Random, groups: dict[int, str]) -> str:
    return "".join(_item(str(kind), told, random, groups) for kind, told in items)


def _item(kind: str, told: Any, random: Random, groups: dict[int, str]) -> str:
    text = ""  # anchors and look-arounds have no characters of their own
    match kind:
        case "LITERAL":
            text = chr(told)
        case "NOT_LITERAL":
            text = random.choice([each for each in string.ascii_letters if each != chr(told)])
        case "ANY":
            text = random.choice(string.ascii_letters)
        case "IN":
            text = random.choice(_members(told))
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, inner = told
            times = random.randint(least, min(most, least + MOST_REPEATS))
            text = "".join(_sequence(inner, random, groups) for _ in range(times))
        case "SUBPATTERN":
            text = groups[told[0]] = _sequence(told[3], random, groups)
        case "ATOMIC_GROUP":
            text = _sequence(told, random, groups)
        case "BRANCH":
            text = _sequence(random.choice(told[1]), random, groups)
        case "GROUPREF":
            text = groups.get(told, "")
        case _:
            pass
    return text


def _members(told: Any) -> str:
    """The characters of a set in square brackets."""
    members, negated = "", False
    for kind, each in told:
        match str(kind):
            case "NEGATE":
                negated = True
            case "LITERAL":
                members += chr(each)
            case "RANGE":
                members += "".join(map(chr, range(each[0], min(each[1], each[0] + 200) + 1)))
            case _:
                members += _SETS.get(str(each), "")
    if negated:
        members = "".join(each for each in _PRINTABLE if each not in members)
    return members or "x"
