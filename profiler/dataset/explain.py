"""Says in words why a value is not a dialogue: what was found, what is expected, and sometimes a hint.

Only rows that the decoder has refused come here, so speed does not matter.
"""

from __future__ import annotations

import difflib
import re
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from profiler.core import json as codec
from profiler.core.content_blocks import block_faults
from profiler.core.nouns import MAX_ID_LENGTH
from profiler.core.sent_parameters import dialogue_faults
from profiler.core.wording import found
from profiler.manifest.value_types import DialogueKey

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

KNOWN = frozenset(get_args(DialogueKey))
ASKS = ("user", "messages", "turns")
# Names that other tools use for the same things, and that are too different to be found by spelling.
_OTHER_NAMES = {
    "dialogue_id": ("id", "dialog_id", "custom_id", "uid", "key"),
    "user": ("prompt", "question", "input", "text", "query", "instruction"),
    "messages": ("conversation", "conversations"),
    "turns": (),
    "required_facts": ("facts", "expected_facts", "key_facts", "required", "must_contain", "must_include"),
    "expected": ("answer", "target", "label", "reference", "gold", "ground_truth"),
    "expect_refusal": ("should_refuse", "should_be_refused", "expected_refusal", "refuse", "refusal"),
}
_NUMBERED = "where no row has one, dataset_fields: {dialogue_id: {line: true}} takes the numbers of the lines"
_NOT_LOGGABLE = "cannot be written to a log: it holds an integer beyond 64 bits or is nested too deeply"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HALF_SURROGATE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]")
_AT_BYTE = re.compile(r" \(byte (\d+)\)$")


class RowFault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a dialogue; `offset` is the byte in its source, where that is known."""

    message: str
    hint: str | None = None
    offset: int | None = None


class Rejected(Exception):
    """This is not a dialogue; `faults` say why."""

    def __init__(self, *faults: RowFault) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = faults


def has_control(text: str) -> bool:
    # isprintable is ten times faster, but false for some harmless spaces too, so it only settles the usual case.
    return not text.isprintable() and _CONTROL.search(text) is not None


def loggable(value: object) -> bool:
    """Whether this can be written to a log line: no integers beyond 64 bits, no 250 levels of nesting."""
    try:
        codec.dumps(((((((((value,),),),),),),),))  # the brackets stand for the levels that a log line adds around it
    except TypeError:
        return False
    return True


def contradictions(own: dict[str, Any], metadata: dict[str, Any]) -> list[str]:
    """Return the keys that a row has both beside its metadata and inside it, with different values."""
    return [key for key in own if key in metadata and own[key] != metadata[key]]


def explain(row: object) -> Iterator[RowFault]:
    """Yield everything that is wrong with a row."""
    if not isinstance(row, dict):
        yield RowFault(message=f"expected a dialogue (an object with dialogue_id and user), found {found(row)}")
        return
    present = {key: value for key, value in row.items() if value is not None}
    yield from missing(present)
    yield from _too_many(present)
    yield from _own_keys(row)
    for key, check in _CHECKS.items():
        if key in present:
            yield from (RowFault(message=message) for message in check(key, present[key]))


def not_json(raw: bytes, error: Exception) -> RowFault:
    """What is wrong with bytes that the decoder could not read."""
    if (fault := _not_utf8(raw)) is not None:
        return fault
    if isinstance(error, RecursionError):
        return RowFault(message="not usable JSON: nested too deeply")
    if (half := _HALF_SURROGATE.search(raw)) is not None:
        return RowFault(message="not valid JSON: half of a surrogate pair", offset=half.start())
    text = str(error)
    if "truncated" in text:
        end = len(raw.rstrip())
        return RowFault(message="not valid JSON: it ends in the middle", offset=end)
    at = _AT_BYTE.search(text)
    reason = _AT_BYTE.sub("", text).removeprefix("JSON is malformed: ").replace(" - at `$[...]`", "")
    # msgspec counts one too many for trailing characters
    offset = int(at[1]) - reason.startswith("trailing") if at else None
    return RowFault(message=f"not valid JSON: {reason[:1].lower()}{reason[1:]}", offset=offset)


def _not_utf8(raw: bytes) -> RowFault | None:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        utf16 = raw[:2] in {b"\xff\xfe", b"\xfe\xff"}
        return RowFault(
            message=f"not valid UTF-8: byte 0x{raw[error.start]:02x}, {error.reason}",
            hint="this looks like UTF-16; save the file as UTF-8" if utf16 else None,
            offset=error.start,
        )
    return None


def missing(keys: Collection[str]) -> Iterator[RowFault]:
    """Yield what a row with these keys lacks, whatever its values are."""
    if "dialogue_id" not in keys:
        hint = near_miss(keys, ("dialogue_id",)) or _NUMBERED
        yield RowFault(message="dialogue_id is missing", hint=hint)
    if not any(key in keys for key in ASKS):
        yield RowFault(message="one of user, messages and turns is needed, found none", hint=near_miss(keys, ASKS))


def _too_many(keys: Collection[str]) -> Iterator[RowFault]:
    asks = [key for key in ASKS if key in keys]
    if len(asks) > 1:
        yield RowFault(message=f"only one of user, messages and turns is allowed, found {' and '.join(asks)}")


def _own_keys(row: dict[str, Any]) -> Iterator[RowFault]:
    own = {key: value for key, value in row.items() if key not in KNOWN}
    metadata = row.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    for key in contradictions(own, metadata):
        yield RowFault(message=f"{key}: given twice, beside metadata and inside it, with different values")
    for key, value in {**own, **metadata}.items():
        if not loggable(value):
            yield RowFault(message=f"{key}: {_NOT_LOGGABLE}")


def near_miss(keys: Collection[str], wanted: tuple[str, ...]) -> str | None:
    spare = [key for key in keys if key not in KNOWN]
    for name in wanted:
        close = difflib.get_close_matches(name, spare, n=1, cutoff=0.75)
        close += [key for key in spare if key.lower() in _OTHER_NAMES[name]]
        if close:
            return (
                f"did you mean {name!r} where it says {close[0]!r}? dataset_fields: {{{name}: {close[0]}}} reads it so"
            )
    return None


def _identity(key: str, value: object) -> Iterator[str]:
    if not isinstance(value, str) or not value:
        yield f"{key}: expected a non-empty string, found {found(value) if value != '' else 'an empty one'}"
    elif len(value) > MAX_ID_LENGTH:
        yield f"{key}: expected at most {MAX_ID_LENGTH} characters, found {len(value)}"
    elif has_control(value):
        yield f"{key}: control characters are not allowed, found {found(value)}"


def _of_kind(kind: type, words: str) -> Callable[[str, object], Iterator[str]]:
    def check(key: str, value: object) -> Iterator[str]:
        if not isinstance(value, kind):
            yield f"{key}: expected {words}, found {found(value)}"

    return check


_string, _bool, _mapping = _of_kind(str, "a string"), _of_kind(bool, "true or false"), _of_kind(dict, "an object")


def _text(key: str, value: object) -> Iterator[str]:
    if not isinstance(value, str) or not value:
        yield f"{key}: expected a non-empty string, found {found(value) if value != '' else 'an empty one'}"


def _request(key: str, value: object) -> Iterator[str]:
    if not isinstance(value, dict):
        yield from _mapping(key, value)
    elif not loggable(value):
        yield f"{key}: {_NOT_LOGGABLE}"
    else:
        for fault in dialogue_faults(value):
            where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in fault.at)
            yield f"{key}{where}: {fault.message}" + (f"; {fault.hint}" if fault.hint else "")


def _expected(key: str, value: object) -> Iterator[str]:
    wanted = "a text, a number, an object or a list of texts"
    if isinstance(value, bool) or not isinstance(value, str | int | float | dict | list):
        yield f"{key}: expected {wanted}, found {found(value)}"
    elif isinstance(value, list):
        yield from _each(key, value, check=_string, of="texts", least=1)
    elif not loggable(value):
        yield f"{key}: {_NOT_LOGGABLE}"


def _messages(key: str, value: object) -> Iterator[str]:
    yield from _each(key, value, check=_message, of="messages", least=1)
    if isinstance(value, list):
        said = [(str(each.get("role")), each.get("content")) for each in value if isinstance(each, dict)]
        for fault in block_faults(said):
            yield f"{fault.place}: {fault.message}" + (f"; {fault.hint}" if fault.hint else "")
    if isinstance(value, list) and value and isinstance(value[-1], dict) and value[-1].get("role") == "assistant":
        yield f"{key}: the last one before the expected answer must come from the user, found role 'assistant'"


def _message(key: str, value: object) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{key}: expected an object with role and content, found {found(value)}"
        return
    if (role := value.get("role")) not in {"user", "assistant"}:
        yield f"{key}.role: expected 'user' or 'assistant', found {found(role)}"
    if (content := value.get("content")) in ("", [], None) or not isinstance(content, str | list):
        yield f"{key}.content: expected a non-empty string or a list of blocks, found {found(content)}"
    elif isinstance(content, list):
        yield from (
            f"{key}.content[{number}]: {_NOT_LOGGABLE}" for number, each in enumerate(content) if not loggable(each)
        )
    for extra in sorted(value.keys() - {"role", "content"}):
        yield f"{key}: unknown key {extra!r}, which would not be sent; expected role and content"


def _each(
    key: str, value: object, *, check: Callable[[str, object], Iterator[str]], of: str, least: int = 0
) -> Iterator[str]:
    if not isinstance(value, list | tuple) or len(value) < least:
        yield f"{key}: expected a list of {of}, found {found(value)}"
        return
    for number, item in enumerate(value):
        yield from check(f"{key}[{number}]", item)


_CHECKS: dict[str, Callable[[str, object], Iterator[str]]] = {
    "dialogue_id": _identity,
    "user": _text,
    "messages": _messages,
    "turns": partial(_each, check=_text, of="non-empty strings", least=1),
    "system": _string,
    "required_facts": partial(_each, check=_text, of="non-empty strings"),
    "expect_refusal": _bool,
    "tags": partial(_each, check=_string, of="strings"),
    "metadata": _mapping,
    "expected": _expected,
    "request": _request,
}
