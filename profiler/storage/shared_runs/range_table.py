"""The table of a shared run: what its ranges are, and where each begins in the dataset. It is written once, and never changes."""

from __future__ import annotations

import os
from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from profiler.core.errors import LogError, Problem
from profiler.core.json import DecodeError
from profiler.dataset.places import Place
from profiler.dataset.unchanged import Stamp
from profiler.storage import journal
from profiler.storage.names import TABLE

if TYPE_CHECKING:
    from pathlib import Path

FORMAT: Final = 1


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """What the ranges of a run are; it never changes. `places` has where each begins, in the dataset itself or, with
    `copied`, in a copy of the dialogues that are asked."""

    format: int = FORMAT
    count: int
    identity: dict[str, Any]
    started: str | None
    dataset_stamp: Stamp
    copied: bool
    places: list[Place]

    @property
    def header(self) -> journal.Header:
        """The header of the whole run, as a single process would write it."""
        return journal.Header(journal=journal.FORMAT, count=self.count, identity=self.identity, started=self.started)

    @property
    def repeats(self) -> int:
        """How often each dialogue is asked."""
        found: int = self.identity.get("repeats", 1)
        return found

    @property
    def firsts(self) -> list[int]:
        """The index of the first item of every range."""
        return [place.dialogue * self.repeats for place in self.places]

    def range_of(self, index: int) -> int:
        """The number of the range in which an item lies."""
        return bisect_right(self.places, index // self.repeats, key=attrgetter("dialogue")) - 1

    def place_before(self, dialogue: int) -> Place:
        """The last place at or before this dialogue."""
        return self.places[bisect_right(self.places, dialogue, key=attrgetter("dialogue")) - 1]


def read_table(run: Path) -> Table | None:
    """The table of the run in a folder; None if the run is not shared by several processes."""
    path = run / TABLE
    try:
        table = msgspec.json.decode(path.read_bytes(), type=Table)
    except (FileNotFoundError, NotADirectoryError):  # whoever opens the run says what is wrong with its folder
        return None
    except (OSError, DecodeError) as error:
        if isinstance(error, PermissionError) and not os.access(run, os.R_OK | os.X_OK):
            return None  # as above
        hint = "start over with --fresh, which moves the run aside"
        raise LogError([Problem(path=str(path), message=f"cannot be read: {error}", hint=hint)]) from error
    if table.format != FORMAT:
        message = f"found ranges in format {table.format}, this version writes {FORMAT}"
        raise LogError([Problem(path=str(path), message=message, hint="finish the run with the version that began it")])
    return table
