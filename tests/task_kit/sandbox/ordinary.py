"""Runs the rest of the command line as an ordinary user, with the same Python interpreter and project wherever they lie.

A folder on the way to them may be closed to everybody but root, as root's home is. So this enters a mount namespace of
its own, puts an empty, open folder over the uppermost such folder, and binds what is needed into it.
"""

import os
import stat
import sys
from pathlib import Path

from task_kit.sandbox import kernel

NOBODY = 65534
ROOT = Path(__file__).resolve().parents[3]


def closed_ancestor(path: Path) -> Path | None:
    closed = [folder for folder in path.parents if not folder.stat().st_mode & stat.S_IXOTH]
    return closed[-1] if closed else None


def open_way_to(*paths: Path) -> None:
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    behind = {path: closed for path in paths if (closed := closed_ancestor(path))}
    sources = {path: os.open(path, os.O_PATH) for path in behind}
    for closed in set(behind.values()):
        kernel.mount("tmpfs", str(closed), kind="tmpfs", options="mode=0755")
    for path, source in sources.items():
        path.mkdir(parents=True, exist_ok=True)
        kernel.mount(f"/proc/self/fd/{source}", str(path), flags=kernel.MS_BIND)


def main(home: str, *command: str) -> None:
    open_way_to(ROOT, Path(sys.prefix), Path(sys.base_prefix))
    os.chdir(ROOT)  # the folder itself, not the one that lies hidden below
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    os.execve(sys.executable, [sys.executable, *command], {"HOME": home, "PATH": os.defpath, "TMPDIR": home})


if __name__ == "__main__":
    main(*sys.argv[1:])
