"""Copies a folder whose content nobody trusts, without following any link.

Nobody may change the source any more. Regular files and folders are copied, links and pipes as such, down to a depth
and up to a total size. Devices and sockets are left out.
"""

from __future__ import annotations

import os
import stat

DEPTH = 64
BLOCK = 1 << 20
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
TARGET = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy(source: str, target: str, *, limit: int, owner: int | None = None) -> None:
    source_fd = os.open(source, FOLDER)
    target_fd = os.open(target, FOLDER)
    try:
        Copy(limit=limit, owner=owner).folder(source_fd, target_fd, depth=0)
    finally:
        os.close(source_fd)
        os.close(target_fd)


class Copy:
    """One copy, and what is left of its allowance.

    If something does not fit it is left out, and `full` becomes true.
    """

    def __init__(self, *, limit: int, owner: int | None = None, until_ns: int | None = None) -> None:
        self.left = limit
        self.until_ns = until_ns
        self.owner = owner
        self.largest = 0
        self.full = False

    def folder(self, source: int, target: int, *, depth: int) -> None:
        for name in sorted(os.listdir(source)):
            found = os.lstat(name, dir_fd=source)
            if too_late(found, self.until_ns):
                continue
            if stat.S_ISREG(found.st_mode):
                self.file(name, source, target=target, found=found)
            elif stat.S_ISDIR(found.st_mode):
                self.subfolder(name, source, target=target, depth=depth + 1)
            elif stat.S_ISLNK(found.st_mode):
                os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            elif stat.S_ISFIFO(found.st_mode):
                os.mkfifo(name, 0o600, dir_fd=target)
            self.give(name, target)

    def subfolder(self, name: str, source: int, *, target: int, depth: int) -> None:
        if depth > DEPTH:
            self.full = True
            return
        inner = opened(name, source, flags=FOLDER)
        os.fchmod(inner, 0o700)  # what may be listed may still be closed to a closer look
        os.mkdir(name, 0o700, dir_fd=target)
        made = os.open(name, FOLDER, dir_fd=target)
        try:
            self.folder(inner, made, depth=depth)
        finally:
            os.close(inner)
            os.close(made)

    def file(self, name: str, source: int, *, target: int, found: os.stat_result) -> None:
        self.largest = max(self.largest, found.st_size)
        if found.st_size > self.left:
            self.full = True
            return
        self.left -= found.st_size
        inner = opened(name, source, flags=SOURCE)
        made = os.open(name, TARGET, 0o600 | (found.st_mode & 0o100), dir_fd=target)
        try:
            while block := os.read(inner, BLOCK):
                write(made, block)
        finally:
            os.close(inner)
            os.close(made)

    def give(self, name: str, target: int) -> None:
        if self.owner is not None:
            try:
                os.chown(name, self.owner, self.owner, dir_fd=target, follow_symlinks=False)
            except FileNotFoundError:
                return  # the file was left out


def too_late(found: os.stat_result, until_ns: int | None) -> bool:
    """Whether a file was changed after that time. The kernel sets this time of change; nobody inside can fake it."""
    return until_ns is not None and stat.S_ISREG(found.st_mode) and found.st_ctime_ns > until_ns


def write(fd: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(fd, rest) :]


def opened(name: str, folder: int | None, *, flags: int) -> int:
    """Open something whose mode may forbid that even to its owner.

    It is not a link, and nobody is left to make it one.
    """
    try:
        return os.open(name, flags, dir_fd=folder)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=folder)
        return os.open(name, flags, dir_fd=folder)


def empty(folder: int) -> None:
    """Remove everything in a folder, whatever its modes and depth: what lies too deep is first moved up."""
    moved = 0
    while names := os.listdir(folder):
        for name in names:
            moved = clear(name, folder, top=folder, depth=0, moved=moved)


def clear(name: str, folder: int, *, top: int, depth: int, moved: int) -> int:
    """Returns how many were moved up so far, which makes their names unique."""
    if unlinked(name, folder):
        return moved
    if depth == DEPTH:
        os.chmod(name, 0o700, dir_fd=folder)  # moving a folder needs write permission in it
        os.rename(name, f".{moved}-{os.getpid()}-moved-up", src_dir_fd=folder, dst_dir_fd=top)
        return moved + 1
    inner = opened(name, folder, flags=FOLDER)
    try:
        os.fchmod(inner, 0o700)
        for child in os.listdir(inner):
            moved = clear(child, inner, top=top, depth=depth + 1, moved=moved)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)
    return moved


def prune(folder: int, *, until_ns: int | None = None, depth: int = 0) -> bool:
    """Remove files later than `until_ns`, and what is nested too deep; returns whether there was any of that.

    Afterwards the owner can read everything that stays, whatever its modes were, as in a copy.
    """
    cut = False
    for name in os.listdir(folder):
        found = os.lstat(name, dir_fd=folder)
        if too_late(found, until_ns):
            os.unlink(name, dir_fd=folder)
            continue
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_mode & 0o600 != 0o600:
            os.chmod(name, 0o600, dir_fd=folder)
        if not stat.S_ISDIR(found.st_mode):
            continue
        inner = opened(name, folder, flags=FOLDER)
        os.fchmod(inner, 0o700)  # what may be listed may still be closed to a closer look
        try:
            cut = cut_below(inner, until_ns=until_ns, depth=depth) or cut
        finally:
            os.close(inner)
        if depth == DEPTH:
            os.rmdir(name, dir_fd=folder)
    return cut


def cut_below(folder: int, *, until_ns: int | None, depth: int) -> bool:
    if depth < DEPTH:
        return prune(folder, until_ns=until_ns, depth=depth + 1)
    empty(folder)
    return True


def remove(path: str) -> None:
    folder = os.open(path, FOLDER)
    try:
        os.fchmod(folder, 0o700)
        empty(folder)
    finally:
        os.close(folder)
    os.rmdir(path)


def unlinked(name: str, folder: int) -> bool:
    try:
        os.unlink(name, dir_fd=folder)
    except (IsADirectoryError, PermissionError):
        return False
    return True
