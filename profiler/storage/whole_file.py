"""Files that are replaced as a whole, so that a reader finds the old content or the new one, never half of it.

This is the only place where that is done: write a draft beside it, sync, rename, and sync the folder.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from profiler.core.errors import StorageError, UsageError
from profiler.storage.names import JOURNAL, LEDGER, REQUESTS, RESPONSES, SCORES, STATUS, SUMMARY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OF_A_RUN: Final = (REQUESTS, RESPONSES, SCORES, SUMMARY, STATUS, JOURNAL, LEDGER)


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file. A full disk leaves the old one, and no draft."""
    draft = draft_of(path)
    try:
        with draft.open("wb", buffering=0) as file:
            written = 0
            while written < len(content):
                written += file.write(content[written:] if written else content)
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise StorageError(path, error) from error
    sync_folder(path.parent)


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """Where to write what a file will hold: it gets the file's name when it is whole and on the device, and is not there
    otherwise."""
    draft = draft_of(path)
    try:
        draft.unlink(missing_ok=True)
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        replace(draft, path)
    except OSError as error:
        raise StorageError(path, error, answers=False) from error
    finally:
        with suppress(OSError):  # its error would hide the first one, and it names a file that nobody knows
            draft.unlink(missing_ok=True)


def write_first(path: Path, content: bytes) -> None:
    """Write a file that never changes: of several who do so at once the first one decides what is in it."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}.tmp")
    write_whole(draft, content)
    try:
        with suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    except OSError as error:
        raise StorageError(path, error) from error
    sync_folder(path.parent)


def spare_runs(path: Path) -> None:
    """Refuse to put a result in the place of a file of a run: that may be all there is of answers that were paid for."""
    real = path.resolve()
    if real.name in OF_A_RUN and all((real.parent / name).exists() for name in (REQUESTS, RESPONSES)):
        raise UsageError(f"{path}: is a file of a run and is not replaced", hint="name another file")


def draft_of(path: Path) -> Path:
    """The name of a file until it is whole."""
    return path.with_name(f".{path.name}.tmp")


def replace(draft: Path, path: Path) -> None:
    """Give a draft that is whole and synced its final name."""
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
