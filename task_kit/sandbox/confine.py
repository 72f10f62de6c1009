"""The last steps before a process becomes untrusted code: limits, identity, Landlock, seccomp.

They restrict the calling process for good.
"""

from __future__ import annotations

import math
import os
import resource

from task_kit.sandbox import kernel, landlock, plan, privileges, seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from task_kit.sandbox.plan import LimitValues, Plan

TASKS_PER_PROCESS = 4  # to the kernel, threads count as well
SPARE_TASKS = (
    8  # supervisor and first process count as well for an ordinary user, and the limit must be seen to be passed
)
STACK_BYTES = 8 << 20
ADDRESS_HEADROOM = 2 << 30  # threads reserve addresses that they never use, 64 MiB for each malloc arena
FEWEST_FILES, MOST_FILES = 1 << 10, 1 << 16
BYTES_PER_FILE = 1 << 14

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
PRIVATE_FOLDERS = ("/tmp", "/dev/shm")  # noqa: S108 -- of the box's own, where there are namespaces


def most_files(disk_bytes: int) -> int:
    """Even empty files cost time: to make, to collect and to remove."""
    return min(MOST_FILES, max(FEWEST_FILES, disk_bytes // BYTES_PER_FILE))


def confine(box: Plan, *, others: int) -> None:
    """`others` is the number of tasks that the same user runs outside this box; the kernel counts them together."""
    if box["level"] == plan.CONTAINER:
        return  # what runs here is the user's own command; the container confines the code in it
    set_limits(box["limits"], others=others)
    os.chdir(box["cwd"])
    privileges.drop(box["uid"], search=box["search"])
    kernel.prctl(kernel.PR_SET_PDEATHSIG, kernel.SIGKILL)  # a change of user resets it, so not before
    if box["level"] == plan.KERNEL:
        landlock.restrict(rules_by_path(box))
        restrict_calls(same_user=box["uid"] is None)
    elif box["level"] == plan.NAMESPACES:
        landlock.restrict(rules_by_view(box))
        restrict_calls(same_user=False, unix_sockets=True)


def set_limits(limits: LimitValues, *, others: int) -> None:
    cpu = math.ceil(limits["cpu_s"])
    tasks = limits["processes"] * TASKS_PER_PROCESS + SPARE_TASKS + others
    memory = limits["memory_bytes"]
    wanted = {
        resource.RLIMIT_CPU: (cpu, cpu + 1),
        resource.RLIMIT_DATA: memory,
        resource.RLIMIT_AS: memory + ADDRESS_HEADROOM,
        resource.RLIMIT_NPROC: tasks,
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_STACK: STACK_BYTES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for kind, value in wanted.items():
        lower(kind, value if isinstance(value, tuple) else (value, value))


def lower(kind: int, wanted: tuple[int, int]) -> None:
    """Set a limit, but never above what the caller has itself."""
    hard = resource.getrlimit(kind)[1]
    soft_wanted, hard_wanted = wanted
    if hard != resource.RLIM_INFINITY:
        soft_wanted, hard_wanted = min(soft_wanted, hard), min(hard_wanted, hard)
    resource.setrlimit(kind, (soft_wanted, hard_wanted))


def rules_by_path(box: Plan) -> list[tuple[str, int]]:
    """The host's file tree is visible, so every path that may be used is listed."""
    rules = [(path, landlock.USE if path == "/dev/null" else landlock.READ) for path in DEVICES]
    for path in box["readable"]:
        rules += around(path, box["masked"])
    return rules + [(path, landlock.WRITE) for path in (box["writable"], box["scratch"]) if path]


def around(path: str, masked: list[str]) -> list[tuple[str, int]]:
    """Landlock can only allow. To leave something out, its neighbours are allowed one by one."""
    if path in masked:
        return []
    if not any(hidden.startswith(path.rstrip("/") + "/") for hidden in masked):
        return [(path, landlock.READ)]
    with os.scandir(path) as entries:
        children = sorted(entry.path for entry in entries)
    return [(path, landlock.LIST), *(rule for child in children for rule in around(child, masked))]


def rules_by_view(box: Plan) -> list[tuple[str, int]]:
    """Only what may be read is visible, so only what may be written is listed."""
    writable = [path for path in (box["writable"], *PRIVATE_FOLDERS) if path]
    return [("/", landlock.READ), ("/dev/null", landlock.USE), *((path, landlock.WRITE) for path in writable)]


def restrict_calls(*, same_user: bool, unix_sockets: bool = False) -> None:
    abi = landlock.version()
    seccomp.restrict(unix_sockets=unix_sockets, scoped=abi >= 6, truncation=abi >= 3, same_user=same_user)
