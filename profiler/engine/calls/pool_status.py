"""What a pool is doing right now, for the progress view."""

from __future__ import annotations

import msgspec


class PoolStatus(msgspec.Struct, frozen=True, kw_only=True):
    in_flight: int
    slots: int
    backing_off: int
    retried: int
    failures: dict[str, int]  # what dialogues ended with, by kind
    stopping: bool
    held_up_by: str | None  # what calls are waiting for
