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

    def __init__(self, *, limit: int, owner: int | None = None) -> None:
        self.left = limit
        self.owner = owner
        self.largest = 0
        self.full = False

    def folder(self, source: int, target: int, *, depth: int) -> None:
        for name in sorted(os.listdir(source)):
            found = os.lstat(name, dir_fd=source)
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


def write(fd: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(fd, rest) :]


def opened(name: str, folder: int, *, flags: int) -> int:
    """What belongs to us may still be closed to us. It is no link, and nobody is left to make it one."""
    try:
        return os.open(name, flags, dir_fd=folder)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=folder)
        return os.open(name, flags, dir_fd=folder)


def empty(folder: int) -> None:
    """Removes what is in a folder, whatever its modes are and however deep: what lies deeper is moved up first."""
    number = 0
    while names := os.listdir(folder):
        for name in names:
            if not unlinked(name, folder):
                number = raise_children(name, folder, number=number)


def unlinked(name: str, folder: int) -> bool:
    try:
        os.unlink(name, dir_fd=folder)
    except (IsADirectoryError, PermissionError):
        return False
    return True


def raise_children(name: str, folder: int, *, number: int) -> int:
    inner = opened(name, folder, flags=FOLDER)
    try:
        if os.fstat(inner).st_mode & 0o700 != 0o700:
            os.fchmod(inner, 0o700)
        for child in os.listdir(inner):
            if not unlinked(child, inner):
                number += 1
                own_way(child, inner)
                os.rename(child, f".{number}-{os.getpid()}-raised", src_dir_fd=inner, dst_dir_fd=folder)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)
    return number


def own_way(name: str, folder: int) -> None:
    """A folder may be moved only by who may write into it."""
    found = os.lstat(name, dir_fd=folder)
    if found.st_mode & 0o700 != 0o700:
        os.chmod(name, 0o700, dir_fd=folder)
