"""Files that are replaced as a whole: a reader finds the old content or the new one, and never half of it.

The one place where this is done: write beside it, force it to the device, rename, make the name durable.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from profiler.core.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """A full disk leaves the old file, and nothing beside it."""
    draft = draft_of(path)
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise StorageError(path, error) from error
    sync_folder(path.parent)


def draft_of(path: Path) -> Path:
    """Where a file stands until it is whole."""
    return path.with_name(f".{path.name}.tmp")


def replace(draft: Path, path: Path) -> None:
    """Give a file that is whole and on the device its name. Raises StorageError when the disk refuses."""
    try:
        draft.replace(path)
    except OSError as error:
        raise StorageError(path, error) from error
    sync_folder(path.parent)


def remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(path, error) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise StorageError(folder, error) from error
