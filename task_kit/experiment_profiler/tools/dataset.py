"""Reads a dataset: a JSON file with an array of dialogues, checked and returned as samples in the order of the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .logging_utils import loads

if TYPE_CHECKING:
    from pathlib import Path


class DatasetError(Exception):
    """The dataset cannot be read, or an entry of it is not a dialogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One dialogue: what to ask, and what to judge the answer by."""

    dialogue_id: str
    system: str
    user: str
    required_facts: tuple[str, ...] = ()
    expect_refusal: bool = False
    tags: tuple[str, ...] = ()


def read_samples(path: Path) -> list[Sample]:
    """Read all dialogues, or raise: nothing should be asked when the dataset turns out to be broken further down."""
    samples: dict[str, Sample] = {}
    for number, item in enumerate(_items(path), start=1):
        sample = _sample(item, place=f"{path}: dialogue {number}")
        if sample.dialogue_id in samples:
            raise DatasetError(f"{path}: dialogue {number}: found the id {sample.dialogue_id!r} a second time")
        samples[sample.dialogue_id] = sample
    return list(samples.values())


def _items(path: Path) -> list[Any]:
    try:
        items = loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DatasetError(f"{path}: found a file that is not strict JSON: {error}") from error
    if not isinstance(items, list):
        raise DatasetError(f"{path}: found {type(items).__name__}, expected an array of dialogues")
    return items


def _sample(item: Any, *, place: str) -> Sample:
    if not isinstance(item, dict):
        raise DatasetError(f"{place}: found {type(item).__name__}, expected an object")
    expect_refusal = item.get("expect_refusal", False)
    if not isinstance(expect_refusal, bool):
        raise DatasetError(f"{place}: expect_refusal: found {expect_refusal!r}, expected true or false")
    return Sample(
        dialogue_id=_text(item, "dialogue_id", place=place),
        system=_text(item, "system", place=place),
        user=_text(item, "user", place=place),
        required_facts=_texts(item, "required_facts", place=place),
        expect_refusal=expect_refusal,
        tags=_texts(item, "tags", place=place),
    )


def _text(item: dict[str, Any], key: str, *, place: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        raise DatasetError(f"{place}: {key}: found {value!r}, expected text")
    return value


def _texts(item: dict[str, Any], key: str, *, place: str) -> tuple[str, ...]:
    values = item.get(key, [])
    if not (isinstance(values, list) and all(isinstance(value, str) for value in values)):
        raise DatasetError(f"{place}: {key}: found {values!r}, expected a list of texts")
    return tuple(values)
