"""Copies a folder whose content nobody trusts, without following anything in it.

Comes in: two folders, the first of which nobody changes any more. Goes out: its regular files and folders, and links
and pipes as such, down to a depth and a sum; devices and sockets are left out.
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
    """One copy, and what is left of its allowance. What does not fit is left out and `full` says so."""

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
                return  # it was left out


def too_late(found: os.stat_result, until_ns: int | None) -> bool:
    """Whether a file was still worked on afterwards. Its last change is the kernel's to say: nobody inside can set it."""
    return until_ns is not None and stat.S_ISREG(found.st_mode) and found.st_ctime_ns > until_ns


def write(fd: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(fd, rest) :]


def opened(name: str, folder: int | None, *, flags: int) -> int:
    """What belongs to us may still be closed to us. It is no link, and nobody is left to make it one."""
    try:
        return os.open(name, flags, dir_fd=folder)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=folder)
        return os.open(name, flags, dir_fd=folder)


def empty(folder: int) -> None:
    """Removes what is in a folder, whatever its modes are and however deep: what lies too deep is moved up first."""
    moved = 0
    while names := os.listdir(folder):
        for name in names:
            moved = clear(name, folder, top=folder, depth=0, moved=moved)


def clear(name: str, folder: int, *, top: int, depth: int, moved: int) -> int:
    """How many were moved up so far, which gives each a name of its own."""
    if unlinked(name, folder):
        return moved
    if depth == DEPTH:
        os.chmod(name, 0o700, dir_fd=folder)  # a folder may be moved only by who may write into it
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
    """Removes what lies deeper than anybody looks, of which it tells, and files of later than `until_ns`. What stays can be
    read by its owner, whatever its modes were, as a copy could."""
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
