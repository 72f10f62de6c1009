"""How one sees that a folder holds a run, and what to say where it does not."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from profiler.core.errors import UsageError
from profiler.storage.names import JOURNAL, RESPONSES, SUMMARY, TABLE

if TYPE_CHECKING:
    from pathlib import Path

HINT: Final = "a run directory is wanted, such as runs/demo_run"
NAMED: Final = 3
LOOKED_AT: Final = 1_000


def holds_run(folder: Path) -> bool:
    return any((folder / mark).exists() for mark in (SUMMARY, RESPONSES, JOURNAL, TABLE))


def no_folder(path: Path, *, hint: str = HINT) -> UsageError:
    """The error for a path that is no folder: a file of a run is often named in place of its folder."""
    if not path.exists():
        return UsageError(f"{path}: found no such folder", hint=hint)
    hint = f"name its folder: {path.parent}" if holds_run(path.parent) else hint
    return UsageError(f"{path}: found a file, expected a folder", hint=hint)


def no_run_in(folder: Path) -> UsageError:
    """The error for a folder that holds no run. It names those below it: often the folder above is named by mistake."""
    if folder.exists() and not folder.is_dir():
        return no_folder(folder)
    if not folder.is_dir():
        return UsageError(f"{folder}: found no run in it, for there is no such folder", hint=HINT)
    inside = (path for pattern in ("*", "*/*") for path in islice(folder.glob(pattern), LOOKED_AT))
    runs = sorted(str(path) for path in inside if path.is_dir() and holds_run(path))
    more = f" and {len(runs) - NAMED:,} more" if len(runs) > NAMED else ""
    hint = f"name one of the runs below it: {', '.join(runs[:NAMED])}{more}" if runs else HINT
    return UsageError(f"{folder}: found no run in it", hint=hint)
