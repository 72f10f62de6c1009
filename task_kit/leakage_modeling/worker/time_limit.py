"""A limit of time that does not depend on who else computes on the machine. Runs in the box.

What counts is the time that a call computes. One that sleeps is stopped, too, after ten times as long; time in which it stands in
line for a core does not count for that, as far as the kernel tells it.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

SLEEPS = 10.0  # how much longer a call may sleep and compute together than compute
SHORTEST_S = 0.01


class TimeUp(BaseException):
    """The call has had its time. No `except Exception` of the code that ran holds it up."""

    def __init__(self, said: str, *, slept: bool) -> None:
        super().__init__(said)
        self.said = said
        self.slept = slept


def within(cpu_s: float, do: Callable[[], Any]) -> Any:
    """Its result, or `TimeUp` in the middle of it. What does not let signals in is ended from outside."""
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
    """How long this process has stood in line for a core; nothing where the kernel does not tell."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
