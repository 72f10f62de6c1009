"""Writes the folders of one grading and removes them.

Each box has its own copy of everything, so that nothing can be left in one for the next. Names of folders cannot be
guessed.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from grader.experiment_profiler.boxes import steps
from grader.experiment_profiler.boxes.box import Box, Kind
from task_kit.sandbox.copying import remove

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from grader.experiment_profiler.boxes.submission import Submission

TOOLS: Final = resources.files("task_kit") / "experiment_profiler" / "tools"
HERE: Final = resources.files(__package__)
MARKS: Final = resources.files("grader.experiment_profiler.worlds") / "marks.py"
SIGNING: Final = """

SECRET = {secret!r}


def mark(sample):
    return mark_by(SECRET, sample)


def live_answer(**asked):
    return live_message(SECRET, **asked)
"""
MEMORY: Final = "/dev/shm"  # noqa: S108 (a folder of its own with an unguessable name is made there)
MEMORY_ROOM: Final = 1 << 30


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder that others can pass through but not list. It is removed at the end, whatever was done to it."""
    folder = Path(tempfile.mkdtemp(dir=_in_memory())).resolve()
    try:
        folder.chmod(0o711)
        yield folder
    finally:
        remove(str(folder))


def _in_memory() -> str | None:
    """The folder in memory where files cost next to nothing; None where TMPDIR is set, or there is little room."""
    if os.environ.get("TMPDIR") or not os.access(MEMORY, os.W_OK | os.X_OK):
        return None
    found = os.statvfs(MEMORY)
    return MEMORY if found.f_bavail * found.f_frsize >= MEMORY_ROOM else None


def lay_out(box: Box, submission: Submission, *, seed: str) -> None:
    """Write what this process needs and no more: one that is only asked about logs gets no world."""
    box.work.mkdir(parents=True)
    box.given.mkdir()
    _write(box.kit, _kit(box))
    _write(box.submission, submission.files)
    for run in box.runs:
        _write(box.place(run.world), run.world.files)
        _write(box.work / run.folder, run.earlier, mode=0o644)
    for logs in box.logs:
        _write(box.work / box.logs_dir(logs), logs.files(), mode=0o644)
    if box.kind is Kind.API:
        _write(box.given, {box.names["driver"]: _driver(), box.names["job"]: steps.job(box, seed)})


def clear(box: Box) -> None:
    """Remove a box, even one that was not laid out completely."""
    if box.folder.exists():
        remove(str(box.folder))


def _kit(box: Box) -> dict[str, bytes]:
    """The tools as everybody has them, except that their marks are those of this process."""
    marks = MARKS.read_bytes() + SIGNING.format(secret=box.secrets.marks).encode()
    return {**_tools(), "tools/mark.py": marks, "anthropic/__init__.py": HERE.joinpath("stand_in.py").read_bytes()}


@cache
def _tools() -> dict[str, bytes]:
    return {f"tools/{file.name}": file.read_bytes() for file in TOOLS.iterdir() if file.name.endswith(".py")}


@cache
def _driver() -> bytes:
    return HERE.joinpath("driver.py").read_bytes()


def _write(folder: Path, files: Mapping[str, bytes], *, mode: int = 0o444) -> None:
    """Write files and their folders. Without files no folder is made."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            continue  # two runs share one world
        path.write_bytes(content)
        path.chmod(mode)
