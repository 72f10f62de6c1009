"""Builds the file tree inside a box: an empty root with the readable paths, a private /tmp and what may be written.

It runs in a mount namespace of its own; afterwards the new tree is the root of the process.
"""

from __future__ import annotations

import os
import posixpath
import stat

from task_kit.sandbox import copying, kernel
from task_kit.sandbox.confine import DEVICES, PRIVATE_FOLDERS, most_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from task_kit.sandbox.plan import Plan

STAGE, SHARED_MEMORY = PRIVATE_FOLDERS  # the first exists everywhere and is only covered, in a namespace of our own
OLD = "/.old"
DATA = "/.data"
EMPTY = DATA + "/empty"  # below every overlay, so it must live as long as they do
ASIDE = "/.aside"  # only while the tree is built
WORK, TEMPORARY, SHARED = "work", "tmp", "shm"
OF_THE_WHOLE_MACHINE = (  # what /proc tells of more than processes, and only to who may read everything
    *("kcore", "keys", "kmsg", "kpagecgroup", "kpagecount", "kpageflags", "slabinfo", "sysrq-trigger", "timer_list"),
    "vmallocinfo",
)
QUIET = kernel.MS_NOSUID | kernel.MS_NODEV
READ_ONLY = kernel.ATTR_RDONLY | kernel.ATTR_NOSUID | kernel.ATTR_NODEV


def build(box: Plan) -> int:
    """Build the tree. Returns the folder with everything writable, from which it is collected; it has no name inside."""
    start_empty()
    write_data(box)
    shown: list[str] = []
    for path in sorted(wanted(box), key=lambda path: path.count("/")):
        place(box, path, shown)
    for path in box["masked"]:
        hide(path)
    add_devices()
    add_accounts(box["env"].get("USER", "box"), box["uid"] if box["uid"] is not None else os.getuid())
    data = os.open(DATA, copying.FOLDER)
    for stage in (DATA, OLD):
        kernel.unmount(stage)
        os.rmdir(stage)
    if os.path.isdir(ASIDE):
        os.rmdir(ASIDE)
    kernel.restrict_mount("/", READ_ONLY, recursive=False)
    return data


def wanted(box: Plan) -> set[str]:
    return {*PRIVATE_FOLDERS} | set(box["readable"]) | ({box["writable"]} if box["writable"] else set())


def start_empty() -> None:
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", STAGE, kind="tmpfs", flags=QUIET, options="size=1m,nr_inodes=8192,mode=0755")
    os.mkdir(STAGE + OLD, 0o755)
    kernel.pivot_root(STAGE, STAGE + OLD)
    os.chdir("/")


def write_data(box: Plan) -> None:
    """One tmpfs for everything writable, so that one limit holds for the sum."""
    size = box["limits"]["disk_bytes"]
    files = most_files(size)
    os.mkdir(DATA, 0o755)
    kernel.mount("tmpfs", DATA, kind="tmpfs", flags=QUIET, options=f"size={size},nr_inodes={files},mode=0755")
    os.mkdir(EMPTY)
    for name, mode in ((WORK, 0o700), (TEMPORARY, 0o1777), (SHARED, 0o1777)):
        os.mkdir(f"{DATA}/{name}")
        os.chmod(f"{DATA}/{name}", mode)
    if box["writable"]:
        copying.copy(OLD + box["writable"], f"{DATA}/{WORK}", limit=size, owner=box["uid"])
    if box["uid"] is not None:
        os.chown(f"{DATA}/{WORK}", box["uid"], box["uid"])


def place(box: Plan, path: str, shown: list[str]) -> None:
    if path == STAGE:
        return bind(f"{DATA}/{TEMPORARY}", path)
    if path == SHARED_MEMORY:
        return bind(f"{DATA}/{SHARED}", path)
    if path == box["writable"]:
        return bind(f"{DATA}/{WORK}", resolved(path))
    real = resolved(path)
    if os.path.lexists(OLD + real) and not covered(real, shown):
        show(real)
        kernel.restrict_mount(real, READ_ONLY, recursive=True)
        shown.append(real)
    return None


def show(path: str) -> None:
    """Make a path visible as files of this box alone, if the kernel can do that.

    Two boxes that share a file could talk through locks on it, or through the news that it was opened.
    """
    if os.path.isdir(OLD + path) and not mounts_below(path):
        os.makedirs(path, mode=0o755, exist_ok=True)
        try:
            return overlay(OLD + path, path)
        except OSError:
            return bind(OLD + path, path)
    folder, name = posixpath.split(path)
    if folder in {"", "/"} or os.path.isdir(OLD + path) or is_socket(OLD + path):
        return bind(OLD + path, path)
    os.makedirs(ASIDE, mode=0o755, exist_ok=True)
    try:
        overlay(OLD + folder, ASIDE)
    except OSError:
        return bind(OLD + path, path)
    bind(f"{ASIDE}/{name}", path)
    kernel.unmount(ASIDE)
    return None


def is_socket(path: str) -> bool:
    """What an overlay shows of one is another inode, at which nobody listens."""
    return stat.S_ISSOCK(os.lstat(path).st_mode)


def overlay(source: str, target: str) -> None:
    """A read-only overlay of one folder and an empty one: the same files, each with its own inode."""
    if any(char in source for char in ":,\\"):
        raise OSError(f"{source}: cannot be named in the options of a mount")
    kernel.mount(
        "overlay", target, kind="overlay", flags=QUIET | kernel.MS_RDONLY, options=f"lowerdir={source}:{EMPTY}"
    )


def mounts_below(path: str) -> bool:
    """Whether there are mounts below: an overlay shows one file system only."""
    with open(f"{OLD}/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return any(line.split()[4].startswith(f"{OLD}{path}/") for line in file)


def covered(path: str, shown: list[str]) -> bool:
    """Whether a folder above it is visible already."""
    return any(path == above or path.startswith(f"{above}/") for above in shown)


def resolved(path: str) -> str:
    """The real path on the host. Links on the way are made inside as well."""
    real, rest = "", [part for part in path.split("/") if part]
    while rest:
        step = f"{real}/{rest.pop(0)}"
        if not os.path.islink(OLD + step):
            real = step
            continue
        target = os.readlink(OLD + step)
        lay_link(target, step)
        whole = posixpath.normpath(posixpath.join(posixpath.dirname(step), target))
        real, rest = "", [*(part for part in whole.split("/") if part), *rest]
    return real or "/"


def lay_link(target: str, link: str) -> None:
    os.makedirs(posixpath.dirname(link), mode=0o755, exist_ok=True)
    if not os.path.lexists(link):
        os.symlink(target, link)


def bind(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, mode=0o755, exist_ok=True)
    elif not os.path.lexists(target):
        os.makedirs(posixpath.dirname(target), mode=0o755, exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))
    kernel.mount(source, target, flags=kernel.MS_BIND | kernel.MS_REC)


def hide(path: str) -> None:
    if os.path.isdir(path):
        kernel.mount(
            "tmpfs", path, kind="tmpfs", flags=QUIET | kernel.MS_RDONLY, options="size=0,nr_inodes=1,mode=0755"
        )
    elif os.path.exists(path):
        kernel.mount(OLD + "/dev/null", path, flags=kernel.MS_BIND)


def add_devices() -> None:
    for device in DEVICES:
        bind(OLD + device, device)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"/dev/{name}")
    os.symlink("/proc/self/fd", "/dev/fd")
    os.mkdir("/proc", 0o555)
    try:
        kernel.mount("proc", "/proc", kind="proc", flags=QUIET | kernel.MS_NOEXEC | kernel.MS_RDONLY)
    except PermissionError:
        return  # if parts of the host's /proc are covered, the kernel allows no other one; Python works without
    for name in OF_THE_WHOLE_MACHINE:
        if os.path.lexists(f"/proc/{name}"):
            kernel.mount(OLD + "/dev/null", f"/proc/{name}", flags=kernel.MS_BIND)


def add_accounts(name: str, uid: int) -> None:
    os.makedirs("/etc", mode=0o755, exist_ok=True)
    write("/etc/passwd", f"{name}:x:{uid}:{uid}::/tmp:/bin/sh\n")
    write("/etc/group", f"{name}:x:{uid}:\n")


def write(path: str, text: str) -> None:
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o444)
    os.write(fd, text.encode())
    os.close(fd)
