"""A time limit that does not depend on what else runs on the machine. Runs in the box.

What is limited is the CPU time of a call. A call that sleeps is stopped after ten times that time on the clock; the
time in which it waited for a core does not count, if the kernel tells it.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

SLEEPS = 10.0  # how many times its CPU limit a call may take when it sleeps
SHORTEST_S = 0.01


class TimeUp(BaseException):
    """The call has used up its time. A BaseException, so that no `except Exception` in the code stops it."""

    def __init__(self, said: str, *, slept: bool) -> None:
        super().__init__(said)
        self.said = said
        self.slept = slept


def within(cpu_s: float, do: Callable[[], Any]) -> Any:
    """The result of `do`, or `TimeUp` in the middle of it. Code that blocks signals is ended from outside."""
    began, waited = time.monotonic(), _waited_s()

    def computed_too_long(*_: object) -> NoReturn:
        raise TimeUp(f"{cpu_s:g} s of computing", slept=False)

    def look_at_the_clock(*_: object) -> None:
        own = time.monotonic() - began - (_waited_s() - waited)
        if own >= SLEEPS * cpu_s:
            raise TimeUp(f"{SLEEPS * cpu_s:g} s, most of which it did not compute", slept=True)
        signal.setitimer(signal.ITIMER_REAL, max(SHORTEST_S, SLEEPS * cpu_s - own))

    signal.signal(signal.SIGPROF, computed_too_long)
    signal.signal(signal.SIGALRM, look_at_the_clock)
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    signal.setitimer(signal.ITIMER_REAL, SLEEPS * cpu_s)
    try:
        return do()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _waited_s() -> float:
    """How long this process has waited for a core; 0 where the kernel does not tell."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
