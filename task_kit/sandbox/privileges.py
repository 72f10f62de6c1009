"""Takes every privilege away from the calling process, for good: code in a box is never root.

It becomes the user `uid`; None is an ordinary user, who stays the same.
"""

from __future__ import annotations

import os

from task_kit.sandbox import kernel

CAP_DAC_READ_SEARCH = 1 << 2
LAST_CAPABILITY = 63


def enter_user_namespace() -> None:
    """Lets an ordinary user build a box. Inside, the user keeps its own number and cannot become another."""
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(kernel.CLONE_NEWUSER)
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{uid} {uid} 1")
    write("/proc/self/gid_map", f"{gid} {gid} 1")


def write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def drop(uid: int | None, *, search: bool) -> None:
    """`search` keeps the one capability to enter closed folders and read, for levels where Landlock limits reading."""
    drop_bounding(keep=CAP_DAC_READ_SEARCH if search else 0)
    if uid is not None:
        become(uid, keep_capabilities=search)
    kernel.set_capabilities(CAP_DAC_READ_SEARCH if search else 0)
    if search:
        kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_RAISE, 2)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if os.getuid() == 0 or os.geteuid() == 0:
        raise OSError("root may not enter a box")


def become(uid: int, *, keep_capabilities: bool) -> None:
    if keep_capabilities:
        kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def drop_bounding(*, keep: int) -> None:
    """An ordinary user outside of namespaces has nothing to lose here."""
    for capability in range(LAST_CAPABILITY + 1):
        if keep >> capability & 1:
            continue
        try:
            kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
        except OSError:
            return  # past the last capability of this kernel, or not permitted and so not needed
