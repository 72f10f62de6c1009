"""The share of a run that one of several commands answers."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from profiler.core.errors import RunDirectoryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.storage.shared_runs.object_store import ObjectStore


@contextmanager
def way_on_of_shards() -> Iterator[None]:
    """Tell how shards go on where the folder holds another run. No shard may move that aside, as the others may be at work."""
    try:
        yield
    except RunDirectoryError as error:
        if error.way_on:
            *_, folder = error.way_on
            error.way_on = ()
            error.hint = (
                "undo the change, or choose another --output-dir for all shards and merge; there --reuse "
                f"{shlex.quote(folder)} takes over what need not be asked again"
            )
        raise


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
