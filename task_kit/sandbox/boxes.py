"""The two kinds of boxes: a process tree under a subreaper, and one in namespaces of its own.

Comes in: the plan, and what the boxed process does last (to become a program, or to call something).
Goes out: whether and how it ended, what it takes, and its end. Knows nothing of limits.
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
FIRST = 1  # the number of a box's first process, inside
KILLED = kernel.SIGKILL  # as a status of wait()


class SetupError(Exception):
    """The box could not be built; the text says which step failed and why."""


class Box:
    """A boxed process and all it started. `fd` becomes readable when there is something to `notice`."""

    bounded = False  # a file system of its own holds what is written, and `data` is its folder

    def __init__(self, box: Plan) -> None:
        self.plan = box
        self.data = -1
        self.fd = -1
        self.proc = HOST  # by which the numbers of its processes are those that `processes` gives
        self.status: int | None = None
        self.root = -1
        self.set_up_s = 0.0
        self.waited_s = 0.0  # of CPU, by those that are gone and that nobody in `processes` waited for

    def start(self, body: Body, streams: Streams) -> None:
        raise NotImplementedError

    def notice(self) -> None:
        raise NotImplementedError

    def alone(self, seconds: float) -> bool:
        """Whether all that the main process had started is gone, at the latest after so long."""
        raise NotImplementedError

    def end(self) -> resource.struct_rusage:
        """On return nobody is left. What the whole tree took, as far as the kernel counted it."""
        raise NotImplementedError

    def processes(self) -> dict[int, list[bytes]]:
        return tree.descendants(self.root)

    def folders(self) -> list[str]:
        """What is written lies here, seen from outside."""
        return [path for path in (self.plan["writable"], self.plan["scratch"]) if path]

    def full(self) -> bool:
        return False


class TreeBox(Box):
    """Orphans come to us, a subreaper, so nobody gets away; everything else is the host's own."""

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
        """Each that ends tells, so there is nothing to ask over and over."""
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
    """The box has a first process of its own; when that ends, the kernel ends all others with it."""

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
        """The first process waits for a word, so that what it has built can be opened while it is there."""
        self.set_up_s = self.heard(float)
        data = self.heard(int)
        self.data = os.open(f"/proc/{self.root}/fd/{data}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.own_proc = os.open(f"/proc/{self.root}/root/proc", copying.FOLDER)
        if os.path.exists(f"/proc/self/fd/{self.own_proc}/{FIRST}"):  # the kernel does not allow one everywhere
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
        """Its first process ends as soon as nobody else is left, and its end closes the pipe. On a busy machine it may
        not have come to that in time, so it is looked who is there before anybody is accused."""
        return bool(plan.ready([self.fd], seconds)) or not self.living()

    def living(self) -> list[int]:
        """Those besides the first process that still run."""
        return [pid for pid, fields in self.processes().items() if fields[tree.STATE] not in (b"Z", b"X")]

    def end(self) -> resource.struct_rusage:
        tree.send(self.root, kernel.SIGKILL)
        return os.wait4(self.root, 0)[2]

    def processes(self) -> dict[int, list[bytes]]:
        """By the box's own /proc, and by its own numbers, where it has one."""
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
    """Engines tell of a signal as shells do."""
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
    """The main process, once it has become what it should be: its end of the pipe closes by itself then."""
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
    """When the machine is out of memory, boxes go before anybody else. Those that start later inherit it."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:
        return  # where there is no such thing the kernel decides alone


def first_process(box: Plan, body: Body, *, streams: Streams, tell: int, waiting: int) -> None:
    """Builds what is seen inside, starts the main process and waits for everybody. Never returns."""
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
