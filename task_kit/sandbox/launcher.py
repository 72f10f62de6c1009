"""The process that boxes are forked from, seen from outside, and one box that was asked of it."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from task_kit.sandbox import interpreter, plan
from task_kit.sandbox.spec import SandboxError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from task_kit.sandbox.plan import Plan, Report, Warmth

ROOT = str(Path(__file__).resolve().parents[2])
MAIN = f"import sys; sys.path.insert(0, {ROOT!r}); from task_kit.sandbox.inside import main; main({ROOT!r})"
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL", "NUMEXPR", "BLIS")}
COLD: Warmth = {"paths": [], "preload": [], "entry_file": None, "entry_name": ""}
START_S = 60.0
BLOCK = 1 << 16
ABANDONING = threading.Lock()


class Launcher:
    """Starts clean: no environment, no files, a session of its own. Ends when it is closed or its owner ends."""

    def __init__(self, warmth: Warmth = COLD) -> None:
        self.turn = threading.Lock()
        self.control, theirs = socket.socketpair()
        command = [interpreter.executable(), "-I", "-S", "-c", MAIN]
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 -- our own interpreter
                command, stdin=theirs.fileno(), env=ONE_THREAD, cwd="/", start_new_session=True
            )
        plan.write(self.control.fileno(), warmth)
        self.wait_until_warm()

    def wait_until_warm(self) -> None:
        fd = self.control.fileno()
        answered = plan.ready([fd], START_S)
        header = plan.read_exactly(fd, plan.HEADER) if answered else None
        body = plan.read_exactly(fd, int.from_bytes(header, "big")) if header else None
        failure = "it ended without a word" if body is None else plan.unpack(body)
        if failure is not None:
            self.close()
            raise SandboxError(f"the process that boxes are forked from could not start: {failure}")

    def ask(self, box: Plan, *, channel: int | None = None) -> Asked:
        theirs_lifeline, lifeline = os.pipe()
        reports, theirs_reports = os.pipe()
        theirs = [theirs_lifeline, theirs_reports, *([] if channel is None else [channel])]
        try:
            with self.turn:
                socket.send_fds(self.control, [b"."], theirs)
            os.close(theirs_lifeline)
            theirs_lifeline = -1
            plan.write(lifeline, box)
        except OSError as error:
            os.close(lifeline)
            os.close(reports)
            raise SandboxError(f"the process that boxes are forked from is gone: {error}") from error
        finally:
            for fd in (theirs_lifeline, theirs_reports):
                if fd >= 0:
                    os.close(fd)
        return Asked(lifeline=lifeline, reports=reports)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        self.control.close()
        self.process.wait()

    def forget(self) -> None:
        """In a fork of the owner: the process goes on, but it is not ours to wait for."""
        self.control.close()
        self.process.returncode = 0


class Asked:
    """One box. Leaving it early ends the box."""

    def __init__(self, *, lifeline: int, reports: int) -> None:
        self.lifeline: int | None = lifeline
        self.reports: int | None = reports
        self.found: Report | None = None

    def report(self, *, timeout_s: float) -> Report:
        """Wait for the end of the box. A supervisor ends its box in time, so a time-out is the machine's fault."""
        if self.found is None and self.reports is not None:
            content = read_all(self.reports, deadline=time.monotonic() + timeout_s)
            self.found = cast("Report", plan.unpack(content[plan.HEADER :])) if content else None
        if self.found is None:
            raise SandboxError("the supervisor of a box ended without a report", hint="was it killed from outside?")
        return self.found

    @property
    def abandoned(self) -> bool:
        return self.lifeline is None

    def ends(self, timeout_s: float) -> bool:
        """Wait, for so long at most, until there is a report or never will be one. Returns whether that is so."""
        return self.reports is None or bool(plan.ready([self.reports], timeout_s))

    def abandon(self) -> None:
        """End the box, from any thread, even while another one waits for its report; that one must check `abandoned`."""
        with ABANDONING:
            lifeline, self.lifeline = self.lifeline, None
        if lifeline is not None:
            os.close(lifeline)

    def close(self) -> None:
        self.abandon()
        if self.reports is not None:
            os.close(self.reports)
            self.reports = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_all(fd: int, *, deadline: float) -> bytes:
    """Everything up to the end; empty if that did not come in time."""
    blocks: list[bytes] = []
    while plan.ready([fd], deadline - time.monotonic()):
        block = os.read(fd, BLOCK)
        if not block:
            return b"".join(blocks)
        blocks.append(block)
    return b""


class Shared:
    """The one launcher of this process. A fork gets its own, because otherwise their pipes would get mixed up."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.owner = -1
        self.launcher: Launcher | None = None

    def get(self) -> Launcher:
        with self.turn:
            if self.launcher is not None and self.owner != os.getpid():
                self.launcher.forget()
                self.launcher = None
            if self.launcher is not None and not self.launcher.alive:
                self.close()
            if self.launcher is None:
                self.launcher, self.owner = Launcher(), os.getpid()
                atexit.register(self.close)
            return self.launcher

    def close(self) -> None:
        if self.launcher is not None and self.owner == os.getpid():
            self.launcher.close()
            self.launcher = None


SHARED = Shared()


def shared_launcher() -> Launcher:
    return SHARED.get()
