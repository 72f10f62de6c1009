"""`profiler watch`: follows a run of another terminal, or of another machine through a shared folder, with the panel that
the run itself shows."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from profiler.cli.progress import drawn_on
from profiler.core.errors import UsageError
from profiler.core.wording import kept_in_words
from profiler.engine.progress import Snapshot
from profiler.storage import status_file
from profiler.storage.reading.saved_run import SavedRun

if TYPE_CHECKING:
    from argparse import Namespace

LOOK_EVERY_S = 0.5
STALE_S = 10.0


class Followed:
    """A run as its status.json shows it. The age of the status is measured with this machine's clock, as clocks differ."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: Snapshot | None = None
        self._changed = time.monotonic()

    @property
    def silent_s(self) -> float:
        """For how many seconds the status has not changed."""
        return time.monotonic() - self._changed

    @property
    def heard_of(self) -> bool:
        return self._last is not None

    def refresh(self) -> None:
        found = status_file.read(self._folder, Snapshot)
        if found is not None and found != self._last:
            self._last, self._changed = found, time.monotonic()

    def look(self) -> Snapshot:
        assert self._last is not None  # noqa: S101 (nothing is drawn before the run was heard of)
        return self._last


def watch(args: Namespace) -> int:
    folder = Path(args.run)
    run = SavedRun(folder)
    with suppress(KeyboardInterrupt):  # whoever has seen enough has done nothing wrong
        if not run.complete:
            anyio.run(_follow, run)
    return _conclude(run)


async def _follow(run: SavedRun) -> None:
    followed = Followed(run.folder)
    while not followed.heard_of:
        followed.refresh()
        if run.complete:
            return
        if followed.silent_s > STALE_S:
            kept = run.summary["run"]
            raise UsageError(
                f"{run.folder}: nobody works on this run: {kept_in_words(kept)}",
                hint="the command that began it goes on with it",
            )
        await anyio.sleep(LOOK_EVERY_S)
    async with anyio.create_task_group() as drawing:
        drawing.start_soon(drawn_on(sys.stderr), followed)
        stale = False
        while not run.complete:
            followed.refresh()
            if followed.silent_s > STALE_S and not stale:
                print(f"no sign of life for {STALE_S:.0f} seconds: {_state(run)}; waiting for more", file=sys.stderr)
            stale = followed.silent_s > STALE_S
            await anyio.sleep(LOOK_EVERY_S)
        drawing.cancel_scope.cancel()


def _conclude(run: SavedRun) -> int:
    if run.complete:
        print(f"{run.folder}: complete")
        print(f"see it with: profiler summarize --log-dir {run.folder}", file=sys.stderr)
    else:
        print(f"{run.folder}: {_state(run)}")
    return 0


def _state(run: SavedRun) -> str:
    """How far an unfinished run is, and whether somebody on this machine works on it."""
    facts: dict[str, Any] = run.summary["run"]
    return f"{facts['state']}, {kept_in_words(facts)}"


COMMANDS = {"watch": watch}
