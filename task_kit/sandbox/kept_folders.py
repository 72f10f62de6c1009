"""Folders that are made once for each user and used by many processes: interpreters, and links to distributions.

Each process locks what it uses for as long as it lives. When another folder is made, those that nobody uses and nobody has
used for a day are removed, but for the newest.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from task_kit.sandbox.spec import SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping

NEWEST = 16  # that are kept, however long nobody has used them
UNUSED_S = 24 * 3600.0
PASSING = "."  # what begins like this is being made or being removed
IN_USE: list[int] = []  # descriptors of the folders that this process uses; their locks end with it


@cache
def cache_folder() -> Path:
    """The cache. Nobody else may write to it, because it decides what code inside can read."""
    preferred = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "task-kit-sandbox"
    try:
        preferred.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return passing_folder()
    found = preferred.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise SandboxError(f"{preferred}: expected a folder that only you can write to", hint="remove it")
    return preferred


def passing_folder() -> Path:
    """A temporary cache, for users who cannot keep one. It is removed with the process that made it."""
    folder, owner = Path(tempfile.mkdtemp(prefix="task-kit-sandbox-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def taken(name: str) -> Path | None:
    """The folder of this name, which nobody removes as long as this process lives; None where there is none."""
    folder = cache_folder() / name
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with suppress(OSError):  # a file system may know no locks: nothing is removed there
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    if not _is_there(folder, descriptor):
        os.close(descriptor)
        return None  # it was removed while we waited for the lock
    with suppress(OSError):
        os.utime(descriptor)
    IN_USE.append(descriptor)
    return folder


def laid_out(name: str, *, links: Mapping[str, Path], files: Mapping[str, str]) -> Path:
    """Made beside its place and renamed, so that two processes that make it at once both find a whole folder."""
    while (found := taken(name)) is None:
        _make(cache_folder() / name, links=links, files=files)
        remove_unused()
    return found


def _make(folder: Path, *, links: Mapping[str, Path], files: Mapping[str, str]) -> None:
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{PASSING}building-"))
    for path, target in links.items():
        (building / path).parent.mkdir(parents=True, exist_ok=True)
        (building / path).symlink_to(target)
    for path, text in files.items():
        (building / path).write_text(text, encoding="utf-8")
    building.chmod(0o755)
    try:
        building.rename(folder)
    except OSError:
        shutil.rmtree(building)
        if not folder.is_dir():
            raise


def remove_unused() -> None:
    long_ago = time.time() - UNUSED_S
    found = sorted(((_used_at(path), path) for path in cache_folder().iterdir()), reverse=True)
    whole = [(used_at, path) for used_at, path in found if not path.name.startswith(PASSING)]
    for used_at, path in whole[NEWEST:]:
        if used_at < long_ago:
            _remove(path)
    for used_at, path in found:
        if path.name.startswith(PASSING) and used_at < long_ago:  # whoever made or removed it was killed
            shutil.rmtree(path, ignore_errors=True)


def _remove(folder: Path) -> None:
    """Unless somebody uses it. Whoever wants it meanwhile waits for the lock, and then finds it gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    aside = folder.with_name(f"{PASSING}removing-{secrets.token_hex(8)}")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_there(folder, descriptor):
            folder.rename(aside)
    except OSError:
        return
    finally:
        os.close(descriptor)
    shutil.rmtree(aside, ignore_errors=True)


def _is_there(folder: Path, descriptor: int) -> bool:
    """Whether what was opened still has this name."""
    try:
        return os.path.samestat(os.stat(folder), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0  # another process has just removed it
