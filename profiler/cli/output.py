"""Prints results to stdout and everything else to stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from profiler.core.json import dump_pretty
from profiler.core.wording import kept_in_words

if TYPE_CHECKING:
    from profiler.storage.reading.saved_run import SavedRun


def print_json(value: Any) -> None:
    sys.stdout.write(dump_pretty(value).decode())


def remark(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def say_unfinished(run: SavedRun) -> None:
    """Say of a run that has not ended how much of it there is, before anything is shown of it."""
    begun = run.begun()
    if not run.complete:
        remark(f"{run.folder} is UNFINISHED" + (f": {kept_in_words(begun.facts())}" if begun is not None else ""))
