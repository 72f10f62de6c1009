"""Landlock: restricts for good what the calling process and its descendants may do with files, ports and signals."""

from __future__ import annotations

import ctypes
import os

from task_kit.sandbox import kernel

NR_CREATE, NR_ADD, NR_RESTRICT = 444, 445, 446
VERSION_FLAG = 1
PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
MAKE_CHAR, MAKE_BLOCK = 1 << 6, 1 << 11
FIRST_RIGHTS = (1 << 13) - 1
NETWORK = 3  # bind and connect, TCP
SCOPES = 3  # abstract sockets and signals stay within the box

READ = EXECUTE | READ_FILE | READ_DIR
LIST = READ_DIR
WRITE = (FIRST_RIGHTS | REFER | TRUNCATE) & ~(MAKE_CHAR | MAKE_BLOCK)
USE = READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV  # a device
OF_A_FILE = EXECUTE | READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV


class Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class PathBeneath(ctypes.Structure):
    _layout_ = "ms"  # what Python 3.14 wants to be told of packed structures, and older ones leave unread
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock ABI; 0 if there is none."""
    try:
        return kernel.syscall(NR_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(VERSION_FLAG), what="landlock")
    except OSError:
        return 0


def file_rights(abi: int) -> int:
    added = {2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
    return FIRST_RIGHTS | sum(right for since, right in added.items() if abi >= since)


def restrict(rules: list[tuple[str, int]]) -> None:
    """Allow only what the rules say from here on. Needs no_new_privs. A path that does not exist is skipped."""
    abi = version()
    if not abi:
        raise OSError("this kernel has no Landlock, or it is switched off")
    handled = file_rights(abi)
    wanted = Ruleset(handled, NETWORK if abi >= 4 else 0, SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = kernel.syscall(NR_CREATE, ctypes.byref(wanted), ctypes.c_size_t(size), ctypes.c_uint(0), what="landlock")
    try:
        for path, rights in rules:
            allow(ruleset, path, rights=rights & handled)
        kernel.syscall(NR_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0), what="landlock_restrict_self")
    finally:
        os.close(ruleset)


def allow(ruleset: int, path: str, *, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        kept = rights if os.path.isdir(path) else rights & OF_A_FILE
        rule = PathBeneath(kept, parent)
        words = (ctypes.c_int(ruleset), ctypes.c_int(PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint(0))
        kernel.syscall(NR_ADD, *words, what=f"landlock_add_rule {path}")
    finally:
        os.close(parent)
