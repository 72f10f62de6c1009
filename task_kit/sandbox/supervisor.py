"""Supervises one box to its certain end: reads its output, watches its limits, and collects what it wrote.

It runs in a process of its own. `lifeline` is a pipe; when that closes, nobody wants the report any more.
"""

from __future__ import annotations

import os
import time

from task_kit.sandbox import boxes, copying, plan, tree, view
from task_kit.sandbox.watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from task_kit.sandbox.boxes import Body, Box
    from task_kit.sandbox.plan import Plan, Report

BLOCK = 1 << 16
ABANDONED = "abandoned"  # by whoever asked for it; not a reason of the box
GRACE_S, MOST_GRACE_S = 0.1, 1.0  # for helpers of honest programs, which may end a moment later


class Output:
    """What came through the two output pipes, with one limit for both."""

    def __init__(self, *, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self.pipes = [os.pipe() for _ in range(2)]
        for read_end, _ in self.pipes:
            os.set_blocking(read_end, False)  # code inside can open its own output and read it before us
        self.kept: dict[int, list[bytes]] = {read_end: [] for read_end, _ in self.pipes}
        self.open = set(self.kept)

    def take(self, fd: int) -> None:
        try:
            block = os.read(fd, BLOCK)
        except BlockingIOError:
            return
        if not block:
            self.open.discard(fd)
            return
        room = max(0, self.limit - self.total)
        self.total += len(block)
        self.kept[fd].append(block[:room])

    def drain(self) -> None:
        """Read what is still in the pipes. Whoever could keep them open is dead."""
        while ready := plan.ready(list(self.open), 0):
            for fd in ready:
                self.take(fd)

    def started(self) -> None:
        for _, write_end in self.pipes:
            os.close(write_end)

    def streams(self) -> list[bytes]:
        return [b"".join(self.kept[read_end]) for read_end, _ in self.pipes]


def supervise(asked: Plan, body: Body, *, lifeline: int) -> Report:
    output = Output(limit=asked["limits"]["output_bytes"])
    box = boxes.make(asked)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    (_, out), (_, errors) = output.pipes
    box.start(body, (nothing, out, errors))
    output.started()
    watch = Watch(box)
    try:
        reason = until_it_ends(box, output, watch=watch, lifeline=lifeline)
        ended_ns = time.time_ns()
        leftover = reason is None and left_over(box, watch)
    finally:
        taken = box.end()
    output.drain()
    wall_s, own_s = time.monotonic() - watch.started, watch.own_s()
    cpu_s = max(taken.ru_utime + taken.ru_stime - box.set_up_s, watch.cpu_s)
    out_bytes, error_bytes = output.streams()
    if reason is None and output.total > output.limit:
        reason = "output"
    if reason is None and box.status is not None:
        reason = watch.afterwards(box.status, errors=error_bytes, cpu_s=cpu_s)
    if fetch(box, asked, until_ns=ended_ns) and reason is None:
        reason = "disk"
    return {
        "status": box.status if box.status is not None else boxes.KILLED,
        "reason": None if reason == ABANDONED else reason,
        "stdout": out_bytes,
        "stderr": error_bytes,
        "wall_s": wall_s,
        "own_s": own_s,
        "cpu_s": cpu_s,
        "peak_bytes": max(watch.peak, taken.ru_maxrss << 10),
        "leftover": leftover,
    }


def until_it_ends(box: Box, output: Output, *, watch: Watch, lifeline: int) -> str | None:
    """None when the main process ended by itself, else the limit that was exceeded."""
    next_look = time.monotonic() + watch.wait_s()
    while box.status is None:
        left = max(0.0, next_look - time.monotonic())
        for fd in plan.ready([box.fd, lifeline, *output.open], left):
            if fd == lifeline:
                return ABANDONED
            if fd == box.fd:
                box.notice()
            else:
                output.take(fd)
        if output.total > output.limit:
            return "output"
        if box.status is None and time.monotonic() >= next_look:
            if reason := watch.look():
                return reason
            next_look = time.monotonic() + watch.wait_s()
    return None


def left_over(box: Box, watch: Watch) -> bool:
    """Whether a process stays behind.

    One that still works may be about to end, and may wait for a turn on a busy machine. What counts is its CPU time, as
    long as the box has time left and exceeds no limit.
    """
    until = max(watch.deadline, time.monotonic() + MOST_GRACE_S)
    first = before = None
    while not box.alone(GRACE_S):
        processes = box.processes()
        cpu_s = tree.usage(processes).cpu_s
        first = cpu_s if first is None else min(first, cpu_s)
        asleep = cpu_s == before and not tree.busy(processes)
        if asleep or cpu_s - first >= MOST_GRACE_S or time.monotonic() >= until or watch.passed():
            return True
        before = cpu_s
    return False


def fetch(box: Box, asked: Plan, *, until_ns: int) -> bool:
    """Bring what was written before the program ended to where it belongs. True when not all of it fitted."""
    if asked["room"] is not None:
        os.unlink(asked["room"])
    if asked["writable"] is None:
        return False
    target = copying.opened(asked["writable"], None, flags=copying.FOLDER)
    try:
        if box.bounded:
            return fetch_into(target, box, limit=asked["limits"]["disk_bytes"], until_ns=until_ns)
        return copying.prune(target, until_ns=until_ns)
    finally:
        os.close(target)


def fetch_into(target: int, box: Box, *, limit: int, until_ns: int) -> bool:
    copy = copying.Copy(limit=limit, until_ns=until_ns)
    source = os.open(view.WORK, copying.FOLDER, dir_fd=box.data)
    try:
        copying.empty(target)
        copy.folder(source, target, depth=0)
    finally:
        os.close(source)
    return copy.full
