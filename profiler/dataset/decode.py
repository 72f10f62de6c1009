"""Decodes one row of a dataset into a Dialogue, or raises `Rejected` with everything that is wrong with it.

There are two ways with one result. The quick one decodes bytes straight into a Dialogue, which works for nearly any row
that uses only known keys. The general one also accepts unknown keys and nulls, and finds words for what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from profiler.core.content_blocks import block_faults
from profiler.core.nouns import MAX_ID_LENGTH, Dialogue, Expected, Message, Role, Text
from profiler.core.sent_parameters import dialogue_faults
from profiler.dataset.chat import is_chat, unfolded
from profiler.dataset.explain import (
    KNOWN,
    Rejected,
    RowFault,
    contradictions,
    explain,
    has_control,
    loggable,
    not_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_NUMBER_BITS = 256

_Blocks = Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    role: Role
    content: Text | _Blocks


class _Row(msgspec.Struct):
    """A dialogue as people write it: null means absent, and unknown keys may stand beside these."""

    dialogue_id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]
    user: Text | None = None
    messages: Annotated[tuple[_Said, ...], msgspec.Meta(min_length=1)] | None = None
    turns: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)] | None = None
    system: str | None = None
    required_facts: tuple[Text, ...] | None = None
    expect_refusal: bool | None = None
    tags: tuple[str, ...] | None = None
    metadata: dict[str, Any] | None = None
    expected: Expected | None = None
    request: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(Dialogue).decode
_decode_any = msgspec.json.Decoder().decode
_REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Decoder:
    """Decodes the rows of one file.

    Once a row needed the general way because of unknown keys, the quick one is skipped. `rename` gives the rows of a
    file that uses other names those of a dialogue.
    """

    def __init__(self, rename: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> None:
        self._rename = rename
        self._quick = rename is None
        self.numbered: Callable[[int], None] | None = None  # is called with an id that is a number

    def __call__(self, raw: bytes) -> Dialogue:
        if self._quick:
            try:
                dialogue = _decode(raw)
            except _REFUSALS:
                pass
            else:
                if _sound(dialogue):
                    return dialogue
        return self._general(raw)

    def _general(self, raw: bytes) -> Dialogue:
        value = loads(raw)
        if self._rename is not None and type(value) is dict:
            value = self._rename(value)
        dialogue = from_mapping(value, numbered=self.numbered)
        self._quick = (
            self._rename is None and not dialogue.metadata and type(value["dialogue_id"]) is str and not is_chat(value)
        )
        return dialogue


def loads(raw: bytes) -> Any:
    """Any JSON value. By msgspec, because orjson silently turns integers beyond 64 bits into floats."""
    try:
        return _decode_any(raw)
    except _REFUSALS as error:
        raise Rejected(not_json(raw, error)) from None


def from_mapping(value: Any, *, numbered: Callable[[int], None] | None = None) -> Dialogue:
    """A Dialogue from decoded values.

    Unknown keys become its metadata; an id that is a number becomes text (see `numbered`).
    """
    if type(value) is not dict:
        raise Rejected(*explain(value))
    if is_chat(value):
        value = unfolded(value)
    if type(number := value.get("dialogue_id")) is int and number.bit_length() < LONGEST_NUMBER_BITS:
        value = {**value, "dialogue_id": str(number)}
        if numbered is not None:
            numbered(number)
    try:
        row = msgspec.convert(value, _Row)
        dialogue = _from_row(row, {key: item for key, item in value.items() if key not in KNOWN})
    except (msgspec.ValidationError, RecursionError) as error:
        raise Rejected(*(tuple(explain(value)) or (RowFault(message=str(error)),))) from None
    if dialogue is None:
        raise Rejected(*explain(value))
    return dialogue


def _sound(dialogue: Dialogue) -> bool:
    """Whether a decoded dialogue also obeys the rules that its types cannot express, the same as in `_from_row`."""
    name = dialogue.dialogue_id
    return (
        (name.isprintable() or not has_control(name))
        and (
            (dialogue.messages is None and dialogue.turns is None and dialogue.user is not None) or _asks_once(dialogue)
        )
        and (not dialogue.metadata or loggable(dialogue.metadata))
        and (dialogue.expected is None or _comparable(dialogue.expected))
        and (dialogue.request is None or _settable(dialogue.request))
    )


def _settable(request: dict[str, Any]) -> bool:
    return loggable(request) and not any(dialogue_faults(request))


def _comparable(expected: Expected) -> bool:
    return type(expected) is str or (expected != [] and loggable(expected))


def _asks_once(dialogue: Dialogue) -> bool:
    if dialogue.messages is not None:
        said = dialogue.messages
        return (
            dialogue.user is None
            and dialogue.turns is None
            and said[-1].role == "user"
            and all(map(_sendable, said))
            and _known_blocks(said)
        )
    if dialogue.turns is not None:
        return dialogue.user is None
    return dialogue.user is not None


def _from_row(row: _Row, own: dict[str, Any]) -> Dialogue | None:
    """The Dialogue, or None when a rule is broken that types cannot express; `explain` then says which."""
    asks = (row.user is not None) + (row.messages is not None) + (row.turns is not None)
    if asks != 1 or has_control(row.dialogue_id):
        return None
    metadata = row.metadata or {}
    if own and metadata:
        if contradictions(own, metadata):
            return None
        metadata = {**own, **metadata}
    elif own:
        metadata = own
    if (
        (metadata and not loggable(metadata))
        or (row.expected is not None and not _comparable(row.expected))
        or (row.request is not None and not _settable(row.request))
    ):
        return None
    messages = None
    if row.messages is not None:
        said = row.messages
        if said[-1].role != "user" or not all(map(_sendable, said)) or not _known_blocks(said):
            return None
        messages = tuple([Message(role=each.role, content=each.content) for each in said])
    return Dialogue(
        dialogue_id=row.dialogue_id,
        user=row.user,
        messages=messages,
        turns=row.turns,
        system=row.system,
        required_facts=row.required_facts or (),
        expect_refusal=row.expect_refusal,
        tags=row.tags or (),
        metadata=metadata,
        expected=row.expected,
        request=row.request,
    )


def _known_blocks(said: tuple[_Said, ...] | tuple[Message, ...]) -> bool:
    """Whether the API takes all blocks; most conversations have none."""
    for each in said:
        if type(each.content) is not str:
            return not any(block_faults([(one.role, one.content) for one in said]))
    return True


def _sendable(said: _Said | Message) -> bool:
    return bool(said.content) and (type(said.content) is str or loggable(said.content))
