"""Lays a task out in a folder: exactly the files that a model may see, and a list of their hashes.

The bytes are always the same. MANIFEST.json is written last, so a folder that has it is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from profiler.core.errors import ProfilerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from task_kit.task import Task

MANIFEST: Final = "MANIFEST.json"
SHOWN: Final = 3


class StageError(ProfilerError):
    """A task cannot be laid out there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What was written (path → sha256), and which other files are in the folder."""

    folder: Path
    files: Mapping[str, str]
    others: tuple[str, ...]


def stage(task: Task, folder: Path, *, force: bool = False) -> Staged:
    """Lay the task out. With `force` also into a folder with files: the task's are replaced, others stay."""
    contents = task.contents()
    try:
        if not force:
            _refuse_occupied(folder)
        _refuse_links(folder, contents)
        for path, content in contents.items():
            _write(folder / path, content)
        _write(folder / MANIFEST, manifest(contents))
        return Staged(folder=folder, files=hashes(contents), others=_others(folder, contents))
    except OSError as error:
        raise StageError(f"{error.filename or folder}: cannot write: {error.strerror or error}") from error


def hashes(contents: Mapping[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(content).hexdigest() for path, content in sorted(contents.items())}


def manifest(contents: Mapping[str, bytes]) -> bytes:
    return json.dumps(hashes(contents), indent=2).encode() + b"\n"


def _refuse_occupied(folder: Path) -> None:
    if not folder.exists():
        return
    found = sorted(path.name for path in folder.iterdir())
    if found:
        listed = ", ".join(found[:SHOWN]) + (", …" if len(found) > SHOWN else "")
        raise StageError(
            f"{folder}: found {listed}, expected an empty folder; nothing was written",
            hint="choose another, or replace the task's files in it with --force",
        )


def _refuse_links(folder: Path, contents: Mapping[str, bytes]) -> None:
    """A folder that is a link would lead the files somewhere else."""
    parents = {parent for path in contents for parent in Path(path).parents}
    for parent in sorted(parents - {Path()}):
        if (folder / parent).is_symlink():
            raise StageError(f"{folder / parent}: found a link, expected a folder; nothing was written")


def _write(path: Path, content: bytes) -> None:
    """Replace a file. A link of that name is replaced itself, not what it points to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.staging")
    draft.unlink(missing_ok=True)
    with draft.open("xb") as file:
        file.write(content)
    os.replace(draft, path)  # noqa: PTH105 (says that it replaces)


def _others(folder: Path, contents: Mapping[str, bytes]) -> tuple[str, ...]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or path.is_file()}
    return tuple(sorted(found - {*contents, MANIFEST}))
