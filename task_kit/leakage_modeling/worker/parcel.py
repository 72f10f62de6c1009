"""One message between the grader and a worker: a strict JSON header with raw bytes behind it. Never pickle.

The grader's side also checks the header against the struct that it expects. Uses only the standard library, because the
worker uses it too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

LENGTH = 4
LARGEST_HEADER = 4 << 20
MOST_BLOBS = 10_000
LARGEST = LENGTH + LARGEST_HEADER  # the longest message without blobs


class BadParcel(ValueError):
    """These bytes are not a message."""


def pack(header: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    head = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}, allow_nan=False).encode()
    return b"".join([len(head).to_bytes(LENGTH, "big"), head, *blobs])


def unpack(message: bytes) -> tuple[dict[str, Any], list[memoryview]]:
    """The header without the sizes of the blobs, and the blobs. They must fill the message exactly."""
    size = int.from_bytes(message[:LENGTH], "big")
    if not 0 < size <= LARGEST_HEADER or len(message) < LENGTH + size:
        raise BadParcel(f"found a header of {size} bytes in a message of {len(message)}")
    try:
        header = json.loads(message[LENGTH : LENGTH + size], object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadParcel(f"the header is not JSON: {error}") from error
    sizes = header.pop("blobs", None) if isinstance(header, dict) else None
    if not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
        raise BadParcel("the header does not say how long the blobs are")
    if len(sizes) > MOST_BLOBS:
        raise BadParcel(f"found {len(sizes)} blobs, expected at most {MOST_BLOBS}")
    if LENGTH + size + sum(sizes) != len(message):
        raise BadParcel(f"found {len(message)} bytes, expected {LENGTH + size + sum(sizes)}")
    return header, _cut(memoryview(message)[LENGTH + size :], sizes)


def _cut(rest: memoryview, sizes: list[int]) -> list[memoryview]:
    blobs = []
    for size in sizes:
        blobs.append(rest[:size])
        rest = rest[size:]
    return blobs


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadParcel("a key stands twice in the header")
    return found


def _no_constant(name: str) -> NoReturn:
    raise BadParcel(f"found {name} in the header")
