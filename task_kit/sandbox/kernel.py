"""System calls that Python has no function for; each raises OSError."""

from __future__ import annotations

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
LIBC.syscall.restype = ctypes.c_long

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 1, 2, 4
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 8, 24, 36, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
NR_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
NR_MOUNT_SETATTR = 442
AT_RECURSIVE = 0x8000
SIGKILL = 9


def machine() -> str:
    return os.uname().machine


def checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, *args: object, what: str) -> int:
    return checked(LIBC.syscall(ctypes.c_long(number), *args), what)


def prctl(option: int, value: int = 0, third: int = 0) -> int:
    words = [ctypes.c_ulong(word) for word in (value, third, 0, 0)]
    return checked(LIBC.prctl(option, *words), f"prctl {option}")


def unshare(flags: int) -> None:
    checked(LIBC.unshare(flags), f"unshare {flags:#x}")


def mount(source: str, target: str, *, kind: str | None = None, flags: int = 0, options: str | None = None) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, options)]
    checked(LIBC.mount(words[0], words[1], words[2], flags, words[3]), f"mount {target}")


def unmount(target: str) -> None:
    checked(LIBC.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    syscall(NR_PIVOT_ROOT[machine()], os.fsencode(new), os.fsencode(old), what="pivot_root")


class MountAttr(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns", ctypes.c_uint64),
    )


def restrict_mount(target: str, flags: int, *, recursive: bool) -> None:
    """Only adds restrictions, so that even a mount that is locked from outside can be restricted."""
    wanted = MountAttr(flags, 0, 0, 0)
    where = (ctypes.c_int(-100), os.fsencode(target), ctypes.c_uint(AT_RECURSIVE if recursive else 0))
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    syscall(NR_MOUNT_SETATTR, *where, ctypes.byref(wanted), size, what=f"mount_setattr {target}")


class CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class CapData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def set_capabilities(bits: int) -> None:
    """Effective, permitted and inheritable all become `bits` (of the first 32)."""
    header = CapHeader(0x20080522, 0)
    data = (CapData * 2)(CapData(bits, bits, bits), CapData(0, 0, 0))
    checked(LIBC.capset(ctypes.byref(header), data), "capset")
