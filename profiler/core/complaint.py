"""One thing that is wrong with a value, and where in its document that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """`at` leads to the value that is wrong, to its key (`at_key`), or to the mapping in which a key is missing."""

    at: tuple[str | int, ...]
    message: str
    hint: str | None = None
    at_key: bool = False


def under(place: str | int, complaints: Iterable[Complaint]) -> Iterator[Complaint]:
    """The same complaints, where the document that they are about stands inside of another one, in this place."""
    return (msgspec.structs.replace(each, at=(place, *each.at)) for each in complaints)
