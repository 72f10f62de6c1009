"""Which part of a run `--shard K/N` means, and what to do when a shard finds another run in its folder."""

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
    """Shard `number` (counted from 0) of `of`, which `processes` answer.

    `broker` is the address of the one that lends it limits and money; `store` is where shards that see no common folder
    meet.
    """

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
