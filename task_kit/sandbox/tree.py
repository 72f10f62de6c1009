"""Reads /proc: which processes belong to a box and what they use; and kills all of them."""

from __future__ import annotations

import os

from task_kit.sandbox import kernel

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MAPPINGS = 1 << 17  # for a whole tree; each costs uncounted kernel memory, and time to list
SOCKET_BYTES = 212_992  # the default maximum that waits in one, in all of today's kernels
NAMELESS, INODE = b" /dev/zero (deleted)\n", 4
SIGSTOP, SIGCONT = 19, 18
STATE, PARENT, USER_TIME, CHILDREN_USER_TIME, CHILDREN_SYSTEM_TIME, THREADS, RESERVED, RESIDENT = (
    0,
    1,
    11,
    13,
    14,
    17,
    20,
    21,
)


class Usage:
    """What a tree uses at one moment. `cpu_s` includes children that ended and were waited for."""

    __slots__ = ("cpu_s", "processes", "reserved", "resident", "tasks")

    def __init__(self) -> None:
        self.processes = self.tasks = self.reserved = self.resident = 0
        self.cpu_s = 0.0

    def add(self, fields: list[bytes]) -> None:
        self.processes += 1
        self.tasks += int(fields[THREADS])
        self.reserved += int(fields[RESERVED])
        self.resident += int(fields[RESIDENT]) * PAGE
        self.cpu_s += sum(map(int, fields[USER_TIME : CHILDREN_SYSTEM_TIME + 1])) / TICKS


def stat(pid: str, *, proc: str) -> list[bytes] | None:
    """The fields after the name, which may itself contain spaces and brackets."""
    try:
        with open(f"{proc}/{pid}/stat", "rb", buffering=0) as file:
            content = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return content[content.rindex(b")") + 2 :].split()


def snapshot(proc: str = "/proc") -> dict[int, list[bytes]]:
    found = ((name, stat(name, proc=proc)) for name in os.listdir(proc) if name.isdigit())
    return {int(name): fields for name, fields in found if fields is not None}


def descendants(root: int) -> dict[int, list[bytes]]:
    """All processes below `root`, without `root` itself, as they are now."""
    everyone = snapshot()
    children: dict[int, list[int]] = {}
    for pid, fields in everyone.items():
        children.setdefault(int(fields[PARENT]), []).append(pid)
    found, waiting = {}, [root]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            found[child] = everyone[child]
            waiting.append(child)
    return found


def usage(processes: dict[int, list[bytes]]) -> Usage:
    total = Usage()
    for fields in processes.values():
        total.add(fields)
    return total


def busy(processes: dict[int, list[bytes]]) -> bool:
    """Whether some process runs, or waits for the processor or the disk."""
    return any(fields[STATE] in {b"R", b"D"} for fields in processes.values())


def waited_s(fields: list[bytes]) -> float:
    """CPU time of the children that a process has waited for, without its own."""
    return sum(map(int, fields[CHILDREN_USER_TIME : CHILDREN_SYSTEM_TIME + 1])) / TICKS


def turns_waited_for_s(pids: list[int], *, proc: str) -> dict[str, float]:
    """For each task, how long it was ready to run while another one had the processor.

    Tasks for which the kernel does not tell that are left out.
    """
    found = {}
    for pid in pids:
        try:
            for task in os.listdir(f"{proc}/{pid}/task"):
                with open(f"{proc}/{pid}/task/{task}/schedstat", "rb", buffering=0) as file:
                    found[task] = int(file.read().split()[1]) / 1e9
        except (FileNotFoundError, ProcessLookupError, PermissionError, IndexError):
            continue
    return found


def sockets(pids: list[int], *, proc: str, own_network: bool) -> int:
    """The number of sockets in the box's own network, or else the number of files that its processes have open."""
    for pid in pids if own_network else []:
        try:
            with open(f"{proc}/{pid}/net/sockstat", "rb", buffering=0) as file:
                return int(file.readline().split()[2])
        except (OSError, IndexError):
            continue
    return sum(open_files(pid, proc=proc) for pid in pids)


def open_files(pid: int, *, proc: str) -> int:
    try:
        return len(os.listdir(f"{proc}/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0


def own_tasks() -> int:
    """All tasks of the calling user, which the kernel counts together."""
    uid = os.getuid()
    total = 0
    for pid, fields in snapshot().items():
        try:
            total += int(fields[THREADS]) if os.stat(f"/proc/{pid}").st_uid == uid else 0
        except FileNotFoundError:
            continue
    return total


def proportional(pids: list[int], *, proc: str) -> int | None:
    """Resident memory with shared pages counted once; None where the kernel does not tell."""
    total = 0
    for pid in pids:
        try:
            with open(f"{proc}/{pid}/smaps_rollup", "rb") as file:
                total += sum(int(line.split()[1]) << 10 for line in file if line.startswith(b"Pss:"))
        except (FileNotFoundError, ProcessLookupError):
            continue
        except PermissionError:
            return None
    return total


def shared(pids: list[int], *, proc: str) -> int:
    """Anonymous shared memory: each piece once, in its full size.

    A process that lets go of its pages no longer has them resident, but they stay. More pieces than anybody wants to
    list count as more than any limit.
    """
    pieces: dict[bytes, int] = {}
    mappings = 0
    for pid in pids:
        try:
            with open(f"{proc}/{pid}/maps", "rb") as file:
                for line in file:
                    mappings += 1
                    if mappings > MAPPINGS:
                        return 1 << 62
                    if line.endswith(NAMELESS):
                        pieces[line.split()[INODE]] = max(extent(line), pieces.get(line.split()[INODE], 0))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return sum(pieces.values())


def extent(line: bytes) -> int:
    first, _, end = line.split(maxsplit=1)[0].partition(b"-")
    return int(end, 16) - int(first, 16)


def send(pid: int, signal: int) -> None:
    try:
        os.kill(pid, signal)
    except ProcessLookupError:
        return


def end_descendants() -> None:
    """Kill all descendants of the calling subreaper, however fast they multiply.

    A stopped process cannot start others. So all are stopped before any is killed: killing at once would free places
    for those that wait to fork.
    """
    while reap():
        stop_all()
        for pid in descendants(os.getpid()):
            send(pid, kernel.SIGKILL)
        wait_for_one()


def stop_all() -> None:
    stopped: set[int] = set()
    while new := descendants(os.getpid()).keys() - stopped:
        for pid in new:
            send(pid, SIGSTOP)
        stopped |= new


def reap() -> bool:
    """Wait for all children that have ended. True while some are left; orphans become children of their subreaper."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def wait_for_one() -> None:
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        return
