"""The two kinds of boxes: a process tree below a subreaper, and one in namespaces of its own.

A box starts from a plan and a `body`, the last thing that the boxed process does (become a program, or call a
function).
"""

from __future__ import annotations

import os
import resource
import time

from task_kit.sandbox import confine, copying, kernel, plan, privileges, tree, view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from task_kit.sandbox.plan import Plan

    Body = Callable[[], None]
    Streams = tuple[int, int, int]
    Word = TypeVar("Word")

NAMESPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
FAILED = 70
SIGNALLED = 128
HOST = "/proc"
FIRST = 1  # number of the box's first process, seen inside
KILLED = kernel.SIGKILL  # in the form that wait() returns


class SetupError(Exception):
    """The box could not be built; the text says which step failed, and why."""


class Box:
    """A boxed process and everything it started. When `fd` becomes readable, call `notice`."""

    bounded = False  # whether a file system of its own holds what is written; `data` is its folder

    def __init__(self, box: Plan) -> None:
        self.plan = box
        self.data = -1
        self.fd = -1
        self.proc = HOST  # the /proc in which its processes have the numbers that `processes` returns
        self.status: int | None = None
        self.root = -1
        self.set_up_s = 0.0
        self.waited_s = 0.0  # CPU time of processes that have ended, and that none of `processes` waited for

    def start(self, body: Body, streams: Streams) -> None:
        raise NotImplementedError

    def notice(self) -> None:
        raise NotImplementedError

    def alone(self, seconds: float) -> bool:
        """Wait, for so long at most, until everything that the main process started is gone. Returns whether it is."""
        raise NotImplementedError

    def end(self) -> resource.struct_rusage:
        """Kill everything that is left. Returns what the whole tree used, as far as the kernel counted it."""
        raise NotImplementedError

    def processes(self) -> dict[int, list[bytes]]:
        return tree.descendants(self.root)

    def folders(self) -> list[str]:
        """The folders that hold what is written, seen from outside."""
        return [path for path in (self.plan["writable"], self.plan["scratch"]) if path]

    def full(self) -> bool:
        return False


class TreeBox(Box):
    """We are a subreaper, so orphans become our children and nobody gets away. Everything else is the host's."""

    def start(self, body: Body, streams: Streams) -> None:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        others = tree.own_tasks() if self.plan["uid"] is None else 0
        self.main = start(self.plan, body, streams=streams, others=others)
        self.root = os.getpid()
        self.fd = os.pidfd_open(self.main)

    def notice(self) -> None:
        if self.status is None:
            status = os.waitpid(self.main, 0)[1]
            self.status = as_engines_tell(status) if self.plan["level"] == plan.CONTAINER else status

    def alone(self, seconds: float) -> bool:
        """Every process that ends can be waited for, so there is nothing to poll."""
        deadline = time.monotonic() + seconds
        while tree.reap():
            pids = tree.descendants(self.root)
            left = deadline - time.monotonic()
            if left <= 0 or (pids and not wait_for(min(pids), seconds=left)):
                return False
        return True

    def end(self) -> resource.struct_rusage:
        tree.end_descendants()
        return resource.getrusage(resource.RUSAGE_CHILDREN)


class NamespaceBox(Box):
    """The box has its own first process. When that ends, the kernel kills all others in the box."""

    bounded = True

    def start(self, body: Body, streams: Streams) -> None:
        attempt("enter a user namespace", privileges.enter_user_namespace, when=self.plan["uid"] is None)
        attempt("make a namespace for processes", lambda: kernel.unshare(kernel.CLONE_NEWPID))
        told, tell = os.pipe()
        waiting, go = os.pipe()
        self.root = os.fork()
        if not self.root:
            os.close(go)
            first_process(self.plan, body, streams=streams, tell=tell, waiting=waiting)
        os.close(tell)
        os.close(waiting)
        self.fd = told
        self.take_over(go)

    def take_over(self, go: int) -> None:
        """The first process waits for a signal, so that what it has built can be opened while it is still there."""
        self.set_up_s = self.heard(float)
        data = self.heard(int)
        self.data = os.open(f"/proc/{self.root}/fd/{data}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.own_proc = os.open(f"/proc/{self.root}/root/proc", copying.FOLDER)
        # the kernel does not allow a /proc of its own everywhere
        if os.path.exists(f"/proc/self/fd/{self.own_proc}/{FIRST}"):
            self.proc = f"/proc/self/fd/{self.own_proc}"
        os.close(go)
        self.heard(bool)

    def heard(self, kind: type[Word]) -> Word:
        word = plan.read(self.fd)
        if not isinstance(word, kind):
            os.waitpid(self.root, 0)
            raise SetupError(word if isinstance(word, str) else "the first process of the box ended without a word")
        return word

    def notice(self) -> None:
        ended = plan.read(self.fd)
        self.status = ended if isinstance(ended, int) else KILLED  # the first process itself was killed

    def alone(self, seconds: float) -> bool:
        """The first process ends when nobody else is left, which closes the pipe.

        On a busy machine that may come late, so the processes are looked at before anybody is accused.
        """
        return bool(plan.ready([self.fd], seconds)) or not self.living()

    def living(self) -> list[int]:
        """Processes besides the first one that still run."""
        return [pid for pid, fields in self.processes().items() if fields[tree.STATE] not in (b"Z", b"X")]

    def end(self) -> resource.struct_rusage:
        tree.send(self.root, kernel.SIGKILL)
        return os.wait4(self.root, 0)[2]

    def processes(self) -> dict[int, list[bytes]]:
        """Read from the box's own /proc, with its own numbers, if it has one."""
        found = tree.snapshot(self.proc) if self.proc != HOST else {}
        if FIRST not in found:
            return super().processes()
        self.waited_s = tree.waited_s(found.pop(FIRST))
        return found

    def folders(self) -> list[str]:
        return [f"/proc/self/fd/{self.data}"]

    def full(self) -> bool:
        left = os.fstatvfs(self.data)
        return left.f_bfree == 0 or left.f_ffree == 0


def make(box: Plan) -> Box:
    return NamespaceBox(box) if box["level"] == plan.NAMESPACES else TreeBox(box)


def attempt(what: str, step: Callable[[], None], *, when: bool = True) -> None:
    try:
        if when:
            step()
    except OSError as error:
        raise SetupError(f"cannot {what}: {error}") from error


def as_engines_tell(status: int) -> int:
    """Container engines report a signal as shells do: exit code 128 + signal."""
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
    return code - SIGNALLED if code > SIGNALLED else status


def wait_for(pid: int, *, seconds: float) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(plan.ready([fd], seconds))
    finally:
        os.close(fd)


def start(box: Plan, body: Body, *, streams: Streams, others: int) -> int:
    """Start the main process, and wait until it has become what it should.

    Its end of the pipe then closes by itself.
    """
    told, tell = os.pipe()
    main = os.fork()
    if not main:
        become_boxed(box, body, streams=streams, tell=tell, others=others)
    os.close(tell)
    failure = plan.read(told)
    os.close(told)
    if failure is not None:
        os.waitpid(main, 0)
        raise SetupError(str(failure))
    return main


def become_boxed(box: Plan, body: Body, *, streams: Streams, tell: int, others: int) -> None:
    """Never returns."""
    try:
        os.setsid()
        for target, source in enumerate(streams):
            os.dup2(source, target)
        if box["level"] != plan.NAMESPACES:
            offer_to_be_ended()
        confine.confine(box, others=others)
        body()
    except OSError as error:
        plan.write(tell, f"cannot start {box['argv'][0]!r}: {error}")
    finally:
        os._exit(FAILED)


def offer_to_be_ended() -> None:
    """When the machine runs out of memory, the kernel should kill boxes first. Their children inherit this."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:
        return  # without this file the kernel decides alone


def first_process(box: Plan, body: Body, *, streams: Streams, tell: int, waiting: int) -> None:
    """Builds the view inside, starts the main process and waits for all others. Never returns."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, kernel.SIGKILL)
        offer_to_be_ended()
        kernel.unshare(NAMESPACES)
        data = view.build(box)
        spent = os.times()
        plan.write(tell, spent.user + spent.system)
        plan.write(tell, data)
        os.read(waiting, 1)
        os.close(data)
        main = start(box, body, streams=streams, others=0)
        plan.write(tell, True)
        wait_for_all(main, tell=tell)
    except (OSError, SetupError) as error:
        plan.write(tell, f"cannot build the box: {error}")
    finally:
        os._exit(0)


def wait_for_all(main: int, *, tell: int) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return
        if pid == main:
            plan.write(tell, status)
