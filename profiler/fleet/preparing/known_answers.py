"""What earlier runs were answered (`--reuse`), laid beside the ranges of a run, where all its workers find it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.engine.reuse import answers_for
from profiler.storage.names import KNOWN_ANSWERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from profiler.fleet.preparing.prepare import Prepared
    from profiler.storage.reuse.reusable import Reusable


def lay_down(
    reusable: Reusable | None, prepared: Prepared, *, name: str = KNOWN_ANSWERS, tell: Callable[[str], None]
) -> Path | None:
    """Write the file in which the workers of this command find them; None where there is nothing to take over."""
    if reusable is None:
        return None
    run, identity, source = prepared.folders.root.parent, prepared.table.identity, prepared.source
    answers = answers_for(prepared.experiment.experiment_id, reusable, run, identity, source=source, tell=tell)
    if answers is None:
        return None
    path = prepared.folders.root / name
    answers.save(path)
    return path
