"""The share of a run that one of several commands answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from profiler.storage.shared_runs.object_store import ObjectStore


class Shard(NamedTuple):
    """The one with this number, from 0, of so many; how many processes answer it, which broker lends to it, and the store in
    which shards without a common folder meet."""

    number: int
    of: int
    processes: int = 1
    broker: str | None = None
    store: ObjectStore | None = None

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, number: int) -> bool:
        """Whether the range with this number is one of its own."""
        return number % self.of == self.number
