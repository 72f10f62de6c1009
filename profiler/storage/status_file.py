"""status.json: how far a run is, replaced each second while it goes on, for whoever watches it from elsewhere.

It is a courtesy: nothing is read from it that matters, so it is not forced to the disk, and a disk that is full only
means that it grows old. Whoever reads it takes no lock.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import msgspec

from profiler.storage.names import STATUS
from profiler.storage.whole_file import draft_of

if TYPE_CHECKING:
    from pathlib import Path

Status = TypeVar("Status", bound=msgspec.Struct)


def write(folder: Path, status: msgspec.Struct) -> None:
    path = folder / STATUS
    draft = draft_of(path)
    with suppress(OSError):
        draft.write_bytes(msgspec.json.encode(status))
        draft.replace(path)


def read(folder: Path, kind: type[Status]) -> Status | None:
    """The status in a folder; None if there is none, or another version wrote it."""
    try:
        return msgspec.json.decode((folder / STATUS).read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def remove(folder: Path) -> None:
    path = folder / STATUS
    for each in (path, draft_of(path)):
        with suppress(OSError):
            each.unlink(missing_ok=True)
