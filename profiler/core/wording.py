"""Values and types in plain words, and guesses at mistyped ones, for messages that a person can act on."""

from __future__ import annotations

import difflib
import math
import re
from typing import TYPE_CHECKING, Any

from msgspec import inspect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

SHOWN_CHARACTERS = 60
# What differs between messages that say the same: quoted names, numbers, and ids with a digit in them.
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\b[A-Za-z_]*[0-9][A-Za-z0-9_.:-]*")
LONGEST_MESSAGE = 500
NAMED = 20
LONGEST_SHOWN_BITS = 128  # Python refuses to print integers of thousands of digits, and nobody would read them


def found(value: Any) -> str:
    """A value as a message shows it: `'fast' (a string)`."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, list | tuple | dict):
        noun = "mapping" if isinstance(value, dict) else "list"
        return f"a {noun} of {len(value)}" if value else f"an empty {noun}"
    if isinstance(value, int) and value.bit_length() > LONGEST_SHOWN_BITS:
        return "a huge number"
    shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    if len(shown) > SHOWN_CHARACTERS:
        shown = shown[:SHOWN_CHARACTERS] + "…"
    return f"{shown} ({_kind(value)})"


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "a yes/no value"
        case str():
            return "a string"
        case int():
            return "a whole number"
        case float():
            return "a number"
        case _:
            return f"a value of type {type(value).__name__}"


def printable(text: str) -> str:
    """Foreign text without what a terminal would act on: escape sequences, and marks that reverse the writing."""
    if text.isprintable():
        return text
    return "".join([each if each.isprintable() or each in "\n\t" else _escaped(each) for each in text])


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def shortened(text: str, longest: int = LONGEST_MESSAGE) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def expected(annotation: Any, *, mappings: bool = True) -> str:
    """The type that a value should have, in words: `a whole number ≥ 1`.

    Without `mappings` the keys of a mapping that might stand there instead are left out: whoever wrote a text meant a
    name.
    """
    info = inspect.type_info(annotation)
    if not mappings and isinstance(info, inspect.UnionType):
        plain = [part for part in info.types if not isinstance(part, inspect.StructType | inspect.NoneType)]
        return " or ".join(map(_words, plain or info.types))
    return _words(info)


def _words(info: inspect.Type) -> str:  # noqa: PLR0911 - one return a kind of type
    match info:
        case inspect.Metadata():
            return str((info.extra or {}).get("expected") or _words(info.type))
        case inspect.UnionType():
            return " or ".join(_words(part) for part in info.types if not isinstance(part, inspect.NoneType))
        case inspect.IntType():
            return _bounded("a whole number", info)
        case inspect.FloatType():
            return _bounded("a number", info)
        case inspect.LiteralType():
            return listed(info.values)
        case inspect.StructType():
            return f"a mapping of {', '.join(field.name for field in info.fields)}"
        case inspect.StrType(min_length=int()):
            return "a string that is not empty"
        case _:
            return _PLAIN_WORDS.get(type(info), "another value")


_PLAIN_WORDS: dict[type[inspect.Type], str] = {
    inspect.StrType: "a string",
    inspect.VarTupleType: "a list",
    inspect.DictType: "a mapping",
    inspect.CustomType: "the path of a file",
}


def _bounded(noun: str, info: inspect.IntType | inspect.FloatType) -> str:
    if info.ge is not None and info.le is not None:
        return f"{noun} from {info.ge} to {info.le}"
    if info.ge is not None:
        return f"{noun} ≥ {info.ge}"
    return noun if info.gt is None else f"{noun} > {info.gt}"


def listed(choices: Iterable[Any]) -> str:
    choices = [str(choice) for choice in choices]
    return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"


def few(names: Sequence[str]) -> str:
    """The first of many names, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def alike(text: str) -> str:
    """A text that is the same for messages that differ only in names and numbers."""
    return _VARYING.sub("…", text)


def did_you_mean(word: Any, choices: Iterable[str]) -> str | None:
    close = nearest(word, choices) if isinstance(word, str) else None
    return f"did you mean {close!r}?" if close else None


def nearest(word: str, choices: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(word[:200], sorted(choices), n=1)
    return close[0] if close else None


def quoting_hint(value: Any, annotation: Any) -> str | None:
    """A hint for a value that is right but is written as another type, such as a number in quotes."""
    wanted = expected(annotation)
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and "whole number" in wanted:
        return f"write {int(value)}"
    if isinstance(value, str) and "number" in wanted and value.replace(".", "", 1).isdigit():
        return "write the number without quotes"
    if isinstance(value, int | float) and "string" in wanted:
        return "put the value in quotes"
    return None


def in_the_name_of(name: str, tell: Callable[[str], None]) -> Callable[[str], None]:
    """Begin every line with the name of what it is about, where several tell something at once."""

    def told(line: str) -> None:
        tell(line if line.startswith(f"{name}: ") else f"{name}: {line}")

    return told


def kept_in_words(facts: Mapping[str, Any]) -> str:
    """How much of an unfinished run has been answered; `facts` is the `run` part of its summary."""
    if "kept" not in facts:  # logs without a journal do not say how long they would have become
        return "a part of it is kept"
    owed, noun = (facts["items"], "answers") if "items" in facts else (facts.get("dialogues"), "dialogues")
    kept, owed = (f"{number:,}" if isinstance(number, int) else "?" for number in (facts.get("kept"), owed))
    return f"{kept} of {owed} {noun} are kept"


def silent(_: str) -> None:
    """Tells nothing: for callers that do not want to hear anything."""
