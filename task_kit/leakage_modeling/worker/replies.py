"""What may come back from a box, field by field: types, sizes and texts are checked and cleaned here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from task_kit.leakage_modeling.worker.plain_text import clean_value

LONGEST_SAID = 10_000  # characters of an error
LONGEST_OUTPUT = 300_000
LARGEST_COUNT = 1 << 53
MOST_DIMENSIONS = 8

Id = Annotated[int, Meta(ge=0, le=LARGEST_COUNT)]
Words = Annotated[str, Meta(max_length=LONGEST_SAID)]  # a box that says more means harm
Output = Annotated[str, Meta(max_length=LONGEST_OUTPUT)]
Count = Annotated[int, Meta(ge=0, le=LARGEST_COUNT)]


class Started(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Id
    ready: bool


class SaidOfRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Id
    stdout: Output
    cut: Count
    error: Words | None


class SaidOfValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Id
    error: Words | None
    shape: Annotated[list[Count], Meta(max_length=MOST_DIMENSIONS)] | None


class SaidOfPack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Id
    error: Words | None


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["slept", "computed", "contract"]
    said: Words


class SaidOfWork(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to a fit or a prediction."""

    id: Id
    fault: Fault | None


Said = TypeVar("Said", Started, SaidOfRun, SaidOfValue, SaidOfPack, SaidOfWork)


def understood(header: dict[str, Any], kind: type[Said]) -> Said:
    """The reply that was expected, its texts cleaned. Raises `msgspec.ValidationError` for anything else."""
    return msgspec.convert(clean_value(header), kind, strict=True)
