"""What earlier runs were answered (`--reuse`), laid beside the ranges of a run, where all its workers find it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.storage.names import KNOWN_ANSWERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from profiler.fleet.preparing.prepare import Prepared
    from profiler.storage.reuse.reusable import Reusable


def lay_down(
    reusable: Reusable | None, prepared: Prepared, *, name: str = KNOWN_ANSWERS, tell: Callable[[str], None]
) -> Path | None:
    """The file in which the workers of this command find them; None where there is nothing to take over."""
    if reusable is None:
        return None
    folder = prepared.folders.root.parent
    answers = reusable.answers_for(folder, prepared.table.identity)
    if answers is None:
        said = prepared.experiment.experiment_id, prepared.source.in_words
        tell("{}: --reuse: none of these runs was answered by {}, so everything is asked".format(*said))
        return None
    path = prepared.folders.root / name
    answers.save(path)
    return path


def tell_taken(name: str, taken: int, *, of: int, tell: Callable[[str], None]) -> None:
    if taken:
        tell(f"{name}: {taken:,} of {of:,} answers are taken over from earlier runs; nothing is paid for them again")
