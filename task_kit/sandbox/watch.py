"""Watches the limits of a box: now and then while it runs, and once after its end.

It returns a reason, and ends nothing.
"""

from __future__ import annotations

import os
import stat
import time

from task_kit.sandbox import confine, copying, plan, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from task_kit.sandbox.boxes import Box

FIRST_LOOK_S, LOOK_S, SHARE = 0.02, 0.05, 20  # looking takes at most a twentieth of the time
MOST_PAUSE_S = 0.5  # but a box that makes looking slow must not go unwatched
FOLDERS_EVERY = 4
SIGXCPU, SIGXFSZ = 24, 25
MEMORY_WORDS = (b"MemoryError", b"Cannot allocate memory", b"Unable to allocate")
TAIL = 400


class Watch:
    """Compares what one box uses with its limits. `peak` is the most memory seen."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.limits = box.plan["limits"]
        self.started = time.monotonic()
        self.deadline = self.started + self.limits["wall_s"] * plan.PATIENCE
        self.waiting = Waiting(self.started)
        self.pause = FIRST_LOOK_S
        self.looks = 0
        self.peak = 0
        self.cpu_s = 0.0

    def look(self) -> str | None:
        now = time.monotonic()
        self.looks += 1
        reason = self.passed() or ("timeout" if self.late() else None)
        self.pause = min(MOST_PAUSE_S, max(LOOK_S, (time.monotonic() - now) * SHARE))
        return reason

    def late(self) -> bool:
        """Time that a box waits for the processor is used by its neighbours, and does not count."""
        return self.own_s() >= self.limits["wall_s"] or time.monotonic() >= self.deadline

    def own_s(self) -> float:
        """The box's time so far, without what it waited for the processor."""
        return time.monotonic() - self.started - self.waiting.total_s

    def wait_s(self) -> float:
        return max(0.0, min(self.pause, self.limits["wall_s"] - self.own_s(), self.deadline - time.monotonic()))

    def passed(self) -> str | None:
        """The limit that is exceeded, if any. Time comes last: a fork bomb is one, however much time it has used."""
        processes = self.box.processes()
        self.waiting.look(list(processes), proc=self.box.proc)
        used = tree.usage(processes)
        self.cpu_s = max(self.cpu_s, used.cpu_s + self.box.waited_s)
        if used.processes > self.limits["processes"] or used.tasks >= self.most_tasks():
            return "processes"
        if (
            self.too_much_memory(used.resident, list(processes))
            or self.too_much_waiting(list(processes))
            or self.too_much_shared(used.reserved, list(processes))
        ):
            return "memory"
        if self.box.full() or self.folders_full():
            return "disk"
        return "cpu" if self.cpu_s > self.limits["cpu_s"] else None

    def most_tasks(self) -> int:
        return self.limits["processes"] * confine.TASKS_PER_PROCESS

    def too_much_memory(self, resident: int, pids: list[int]) -> bool:
        """Pages that several processes share count once, as soon as that matters."""
        if resident > self.limits["memory_bytes"] and len(pids) > 1:
            counted_once = tree.proportional(pids, proc=self.box.proc)
            resident = resident if counted_once is None else counted_once
        self.peak = max(self.peak, resident)
        return resident > self.limits["memory_bytes"]

    def too_much_waiting(self, pids: list[int]) -> bool:
        """Data waiting in sockets belongs to no process, so every open socket counts as full."""
        waiting = tree.sockets(pids, proc=self.box.proc, own_network=self.box.bounded) * tree.SOCKET_BYTES
        if waiting <= self.limits["memory_bytes"]:
            return False
        self.peak = max(self.peak, waiting)
        return True

    def too_much_shared(self, reserved: int, pids: list[int]) -> bool:
        """Looked at only when that much memory is reserved at all."""
        limit = self.limits["memory_bytes"]
        return reserved > limit and tree.shared(pids, proc=self.box.proc) > limit

    def folders_full(self) -> bool:
        """Where no file system of its own limits the box, files are counted, less often."""
        if self.box.bounded or self.looks % FOLDERS_EVERY:
            return False
        return self.survey().taken > self.limits["disk_bytes"]

    def survey(self) -> Survey:
        return survey(self.box.folders(), most=confine.most_files(self.limits["disk_bytes"]))

    def afterwards(self, status: int, *, errors: bytes, cpu_s: float) -> str | None:
        """The limit that a box died of, if the kernel or Python enforced one."""
        signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        found = self.survey()
        if signal == SIGXCPU or cpu_s >= self.limits["cpu_s"]:
            return "cpu"
        if signal == SIGXFSZ or found.largest >= self.limits["file_bytes"]:
            return "file_size"
        if self.box.full() or found.taken > self.limits["disk_bytes"]:
            return "disk"
        return "memory" if status and any(word in errors[-TAIL:] for word in MEMORY_WORDS) else None


class Waiting:
    """How long a box has waited for the processor: between two looks, as long as the task that waited most."""

    __slots__ = ("before", "looked", "total_s")

    def __init__(self, now: float) -> None:
        self.before: dict[str, float] = {}
        self.looked = now
        self.total_s = 0.0

    def look(self, pids: list[int], *, proc: str) -> None:
        now = time.monotonic()
        waited = tree.turns_waited_for_s(pids, proc=proc)
        longest = max((seconds - self.before.get(task, 0.0) for task, seconds in waited.items()), default=0.0)
        self.total_s += min(now - self.looked, longest)
        self.before, self.looked = waited, now


class Survey:
    __slots__ = ("largest", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self.largest = 0


def survey(folders: list[str], *, most: int) -> Survey:
    """Follows no links. A tree with more entries than allowed counts as full."""
    found = Survey()
    for number, entry in enumerate(entries(folders)):
        if number >= most:
            found.taken = 1 << 62
            break
        found.taken += max(entry.st_blocks * 512, 512)
        if stat.S_ISREG(entry.st_mode):
            found.largest = max(found.largest, entry.st_size)
    return found


def entries(folders: list[str]) -> Iterator[os.stat_result]:
    waiting = [(folder, 0) for folder in folders]
    while waiting:
        folder, depth = waiting.pop()
        try:
            with os.scandir(folder) as listed:
                for entry in listed:
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False) and depth < copying.DEPTH:
                        waiting.append((entry.path, depth + 1))
        except OSError:
            continue  # it disappeared while it was counted, or is closed to us and counts as empty
