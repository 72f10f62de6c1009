"""What a committed candidate says of itself, and for how long its commit counts: for good, or until the machine starts again.

Most commits count for good. Their files were forced to the device before, so a power cut takes nothing from them.

A mock run by the processes of one machine has another rule. Its coordinator puts together what is committed within
seconds, forces the logs of the whole run to the device and removes the candidate. To force the candidate's own logs as well
would write everything twice, so they are left to the kernel, which in most cases never writes them. Its commit notes in
which start of the machine it was made (`boot`) and counts only until the next one, which may follow a power cut. Then the
candidate is an open one again, and only its journal is believed, which was forced to the device as `--fsync` says. Nobody
pays for the mock, so what the journal does not hold is asked again and gets the same answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from profiler.core.errors import LogError, Problem, StorageError
from profiler.core.json import DecodeError
from profiler.storage import boot
from profiler.storage.money import Money
from profiler.storage.names import COMMITTED
from profiler.storage.shared_runs.range_table import FORMAT

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.provider.source import Source


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """What a committed candidate says of itself: the items from `first` to before `end`, which `candidate` for them it was, what it
    has spent itself (candidates before it, whose answers it took over, tell their money in their own folders), and what was
    counted of the items. With `boot` it counts only during that start of the machine."""

    format: int = FORMAT
    first: int
    end: int
    candidate: int | None = msgspec.field(name="attempt", default=None)  # earlier versions did not say it
    money: Money = Money()
    boot: str | None = None
    counted: msgspec.Raw

    @property
    def counts(self) -> bool:
        """Whether the commit still counts."""
        return self.boot is None or self.boot == boot.boot_id()


def boot_to_note(source: Source, *, fsync: str, merged_here: bool) -> str | None:
    """In which start of the machine a commit must be believed; None where its files are forced to the device and it counts for
    good. `merged_here`: a coordinator on the same machine puts together at once what is committed."""
    soon_merged = merged_here and source.costs_nothing and fsync != "always"
    return boot.boot_id() if soon_merged else None


def read_committed(folder: Path) -> Committed | None:
    """What the committed candidate in a folder says of itself, whether it still counts or not; None if there is none."""
    path = folder / COMMITTED
    try:
        return msgspec.json.decode(path.read_bytes(), type=Committed)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(path, error) from error
    except DecodeError as error:
        hint = "start over with --fresh, which moves the run aside"
        raise LogError(
            [Problem(path=str(path), message=f"is not what a committed part says: {error}", hint=hint)]
        ) from error
