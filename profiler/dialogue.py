"""One row of a dataset becomes one Dialogue.

Comes in: the bytes of a JSON object, or a mapping that another format was read into. Goes out: a Dialogue,
or Rejected with every fault. Knows nothing of files, lines or formats.

Two ways with one result. The quick one decodes straight into a typed struct and takes any row that uses
only the known keys. The general one takes unknown keys too, and finds the words when a row is wrong.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from profiler.dialogue_faults import (
    KNOWN,
    MAX_ID_LENGTH,
    Fault,
    Rejected,
    contradictions,
    explain,
    has_control,
    loggable,
    not_json,
)
from profiler.model import Dialogue, Message, Role

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Blocks = Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    role: Role
    content: _Text | _Blocks


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    """A dialogue as it is written: null stands for absent, which the model does not know."""

    dialogue_id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]
    user: _Text | None = None
    messages: Annotated[tuple[_Said, ...], msgspec.Meta(min_length=1)] | None = None
    turns: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1)] | None = None
    system: str | None = None
    required_facts: tuple[_Text, ...] | None = None
    expect_refusal: bool | None = None
    tags: tuple[str, ...] | None = None
    metadata: dict[str, Any] | None = None


class _OwnRow(_Row, forbid_unknown_fields=False):
    """The same beside keys of the file's own, which are looked at elsewhere."""


_decode_row = msgspec.json.Decoder(_Row).decode
_decode_any = msgspec.json.Decoder().decode
_REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Decoder:
    """Bytes to dialogues. Remembers that a file has keys of its own, and then skips the quick way."""

    def __init__(self) -> None:
        self._quick = True

    def __call__(self, raw: bytes) -> Dialogue:
        if self._quick:
            try:
                row = _decode_row(raw)
            except _REFUSALS:
                pass
            else:
                if (dialogue := _from_row(row)) is not None:
                    return dialogue
        return self._general(raw)

    def _general(self, raw: bytes) -> Dialogue:
        dialogue = from_mapping(loads(raw))
        self._quick = not dialogue.metadata
        return dialogue


def loads(raw: bytes) -> Any:
    """Any JSON value. msgspec and not orjson, which turns integers beyond 64 bits into floats without a word."""
    try:
        return _decode_any(raw)
    except _REFUSALS as error:
        raise Rejected(not_json(raw, error)) from None


def from_mapping(value: Any) -> Dialogue:
    """A Dialogue from decoded values; keys that nobody knows become its metadata."""
    if type(value) is not dict:
        raise Rejected(*explain(value))
    try:
        row = msgspec.convert(value, _OwnRow)
        dialogue = _from_row(row, {key: item for key, item in value.items() if key not in KNOWN})
    except (msgspec.ValidationError, RecursionError) as error:
        raise Rejected(*(tuple(explain(value)) or (Fault(message=str(error)),))) from None
    if dialogue is None:
        raise Rejected(*explain(value))
    return dialogue


def _from_row(row: _Row, own: dict[str, Any] | None = None) -> Dialogue | None:
    """None when something is wrong that types cannot say; `explain` then finds the words."""
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
    if metadata and not loggable(metadata):
        return None
    messages = None
    if row.messages is not None:
        if row.messages[-1].role != "user" or not all(map(_sendable, row.messages)):
            return None
        messages = tuple([Message(role=said.role, content=said.content) for said in row.messages])
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
    )


def _sendable(said: _Said) -> bool:
    return type(said.content) is str or loggable(said.content)
