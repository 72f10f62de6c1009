"""A worker as a process of its own: assignments on stdin, reports on stdout, everything else on stderr, its log.

It is started by a driver: `python -m grader.workers.worker`. When its stdin ends, whoever wanted its results is gone or has
been stopped: its boxes are ended, and so is it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Final

from grader.workers.ending import end_what_runs
from grader.workers.messages import Alive, Done, Raised, Ready, as_line, assignment_of
from profiler.fleet.pipes import write_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from grader.workers.messages import Assignment, Report

STDOUT, STDERR = 1, 2
ALIVE_EVERY_S: Final = 2.0
ENDING_S: Final = 5.0  # the driver waits for ten
AGAIN_S: Final = 0.1  # boxes are ended once more, because one may just have been about to start


class Reports:
    """Whole lines, from whichever thread. They may fail to arrive: the end of stdin tells what follows from that."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._turn = threading.Lock()

    def send(self, report: Report) -> None:
        with self._turn, suppress(BrokenPipeError):
            write_all(self._descriptor, as_line(report))

    def say_alive(self, over: threading.Event) -> None:
        while not over.wait(ALIVE_EVERY_S):
            self.send(Alive())


def main() -> int:
    reports = Reports(os.dup(STDOUT))
    os.dup2(STDERR, STDOUT)  # what anybody prints goes to the log, and does not come between the reports
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells everybody, and who started us ends our stdin
    over = threading.Event()
    threading.Thread(target=reports.say_alive, args=(over,), daemon=True).start()
    reports.send(Ready())
    at_work: threading.Thread | None = None
    for line in sys.stdin.buffer:
        if not line.endswith(b"\n"):
            break  # torn: it was never said
        at_work = threading.Thread(target=work, args=(assignment_of(line), reports), daemon=True)
        at_work.start()
    over.set()
    return 0 if given_up(at_work) else 1


def work(assignment: Assignment, reports: Reports) -> None:
    try:
        module, _, name = assignment.function.partition(":")
        function: Callable[[bytes], bytes] = getattr(import_module(module), name)
        reports.send(Done(number=assignment.number, found=function(assignment.given)))
    except Exception:  # noqa: BLE001 (whatever it is, others wait for their turn)
        reports.send(Raised(number=assignment.number, lines=traceback.format_exc()))


def given_up(at_work: threading.Thread | None) -> bool:
    """End what runs until nobody waits for it. False where that takes too long."""
    deadline = time.monotonic() + ENDING_S
    end_what_runs()
    while at_work is not None and at_work.is_alive():
        if time.monotonic() > deadline:
            return False
        end_what_runs()
        at_work.join(AGAIN_S)
    return True


if __name__ == "__main__":
    code = main()
    if code:
        os._exit(code)  # a thread is left that nothing ends; its boxes end with us
    sys.exit(code)
