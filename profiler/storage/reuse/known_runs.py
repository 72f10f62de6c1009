"""Which earlier runs a person means with `--reuse RUN…`: run directories, folders of them, and what `--fresh` moved aside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from profiler.core.errors import UsageError
from profiler.storage.names import SUMMARY
from profiler.storage.reading.run_marks import HINT, holds_run
from profiler.storage.reading.saved_run import asides_of, moved_aside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike


class Known(NamedTuple):
    """A run whose answers may be taken over, and how it is called in the records that are.

    `writes` is its folder if an experiment of this command goes on there: that one has its own answers already.
    """

    folder: Path
    name: str
    writes: Path | None = None


def known_runs(names: Sequence[str | PathLike[str]], *, folders: Sequence[Path], fresh: bool) -> list[Known]:
    """The runs in the order in which they are searched. `folders` are those that this command writes to.

    Such a folder means the run that `--fresh` moves aside, or has moved aside before the command was stopped. If that one
    is unfinished, those before it count too, back to one that is complete: it may not have had all of their answers yet.
    """
    own = {folder.resolve(): folder for folder in folders}
    found: dict[Path, Known] = {}
    for name in names:
        for run in _named(Path(name), own, fresh=fresh):
            found.setdefault(run.folder.resolve(), run)
    return list(found.values())


def _named(place: Path, own: dict[Path, Path], *, fresh: bool) -> Iterator[Known]:
    path = place.resolve()
    inside = [place] if path in own or holds_run(place) else _inside(place, path, own)
    found = False
    for folder in inside:
        writes = own.get(folder.resolve())
        runs = [Known(folder, folder.name)] if writes is None else _takes(writes, fresh=fresh)
        for run in runs:
            found = True
            yield run
    if not found:
        raise UsageError(f"--reuse {place}: found no run in it", hint=HINT)


def _inside(place: Path, path: Path, own: dict[Path, Path]) -> list[Path]:
    """The runs of a folder, those that are being begun anew included."""
    if not place.is_dir():
        return []
    others = {each for each in place.iterdir() if holds_run(each) and not moved_aside(each)}
    return sorted(others | {place / each.name for each in own if each.parent == path})


def _takes(folder: Path, *, fresh: bool) -> Iterator[Known]:
    """The run in this folder and those that --fresh has moved aside for it, newest first, back to one that is complete."""
    if holds_run(folder):
        yield Known(folder, folder.name, writes=None if fresh else folder)
        if fresh and (folder / SUMMARY).exists():
            return
    for aside in asides_of(folder):
        if holds_run(aside):
            yield Known(aside, folder.name)
            if (aside / SUMMARY).exists():
                return
