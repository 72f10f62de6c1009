"""What `--where` says: `exact_match == false and latency_s > 5`, read into a condition on an item.

Names, operators and literals, joined by `and`, `or`, `not` and brackets. It is never evaluated as code.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from profiler.core.errors import UsageError
from profiler.results.values import value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from profiler.storage.reading.item import Item

    Condition = Callable[[Item], bool]

HINT: Final = """write NAME OPERATOR VALUE, as in --where 'exact_match == false and (latency_s > 5 or error != null)'"""
LITERALS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None}
DEEPEST: Final = 50  # the deepest nesting of brackets
MOST_DIGITS: Final = 1_000  # of a whole number; Python refuses to read one of more than 4,300
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])
    |(?P<text>"(?:[^"\\]|\\.)*"|'[^']*')
    |(?P<operator>==|!=|<=|>=|<|>|\(|\))
    |(?P<word>[^\W\d][\w.:-]*))""",
    re.VERBOSE,
)


class Token(NamedTuple):
    kind: str
    text: str
    at: int


def condition(text: str, *, scores: Collection[str]) -> Condition:
    """`scores` are the names of the metrics of the run."""
    reader = _Reader(text, scores)
    found = reader.either(0)
    reader.expect_end()
    return found


def _tokens(text: str) -> list[Token]:
    tokens, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise _wrong(text, len(text) - len(text[at:].lstrip()), "cannot be read")
        kind = str(match.lastgroup)
        tokens.append(Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return [*tokens, Token("end", "", len(text))]


def _wrong(text: str, at: int, what: str) -> UsageError:
    return UsageError(f"--where {text!r}: {text[at : at + 20]!r} (character {at + 1}) {what}", hint=HINT)


def _unexpected(text: str, at: int, expected: str) -> UsageError:
    place = repr(text[at : at + 20]) if text[at:] else "the end"
    return UsageError(f"--where {text!r}: found {place} (character {at + 1}), expected {expected}", hint=HINT)


class _Reader:
    """Reads the tokens from left to right: `or` binds least, then `and`, then `not`."""

    def __init__(self, text: str, scores: Collection[str]) -> None:
        self._text, self._scores = text, scores
        self._tokens = _tokens(text)
        self._place = 0

    def _take(self, *words: str) -> bool:
        token = self._tokens[self._place]
        taken = token.kind in {"word", "operator"} and token.text in words
        self._place += taken
        return taken

    def _next(self) -> Token:
        token = self._tokens[self._place]
        self._place += token.kind != "end"
        return token

    def expect_end(self) -> None:
        token = self._tokens[self._place]
        if token.kind != "end":
            raise _unexpected(self._text, token.at, "and, or, or the end")

    def either(self, depth: int) -> Condition:
        parts = [self._both(depth)]
        while self._take("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else lambda item: any(part(item) for part in parts)

    def _both(self, depth: int) -> Condition:
        parts = [self._one(depth)]
        while self._take("and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else lambda item: all(part(item) for part in parts)

    def _one(self, depth: int) -> Condition:
        if depth > DEEPEST:
            raise _wrong(self._text, self._tokens[self._place].at, "is nested too deeply")
        if self._take("not"):
            inner = self._one(depth + 1)
            return lambda item: not inner(item)
        if self._take("("):
            inside = self.either(depth + 1)
            if not self._take(")"):
                raise _unexpected(self._text, self._tokens[self._place].at, "a closing bracket")
            return inside
        return self._comparison()

    def _comparison(self) -> Condition:
        name = self._next()
        if name.kind != "word" or name.text in (*LITERALS, "and", "or"):
            raise _unexpected(self._text, name.at, "a name")
        value = value_of(name.text, scores=self._scores)
        sign = self._next()
        if sign.text == "contains":
            wanted = self._literal()
            return lambda item: _contains(value(item), wanted)
        if sign.text not in _COMPARED:
            raise _unexpected(self._text, sign.at, "==, !=, <, <=, >, >= or contains")
        compare, wanted = _COMPARED[sign.text], self._literal()
        return lambda item: compare(value(item), wanted)

    def _literal(self) -> Any:
        token = self._next()
        if token.kind == "number":
            whole = len(token.text) <= MOST_DIGITS and not re.search(r"[.eE]", token.text)
            return int(token.text) if whole else float(token.text)
        if token.kind == "text":
            return self._unquoted(token)
        if token.kind == "word" and token.text in LITERALS:
            return LITERALS[token.text]
        raise _unexpected(self._text, token.at, "a number, a text in quotes, true, false or null")

    def _unquoted(self, token: Token) -> Any:
        if token.text.startswith("'"):
            return token.text[1:-1]
        try:
            return msgspec.json.decode(token.text)
        except (
            msgspec.DecodeError,
            UnicodeEncodeError,
        ) as error:  # the latter: bytes that the shell passed are no UTF-8
            raise _wrong(self._text, token.at, f"is no text: {error}") from None


def _equal(found: Any, wanted: Any) -> bool:
    """Equality as people mean it: to Python, true equals 1."""
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """Whether an order holds. A value that cannot be ordered, such as null, is neither above nor below another."""

    def holds(found: Any, wanted: Any) -> bool:
        numbers = isinstance(found, int | float) and isinstance(wanted, int | float)
        return (numbers or (isinstance(found, str) and isinstance(wanted, str))) and compare(found, wanted)

    return holds


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(found, str):
        return isinstance(wanted, str) and wanted in found
    return isinstance(found, list | tuple) and wanted in found


_COMPARED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": _equal,
    "!=": lambda found, wanted: not _equal(found, wanted),
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
}
