"""Ends the process like a power cut, right before a chosen operation on a file; Python loads it at its start.

Comes in: FAULTS_DIE_BEFORE, an audit event and a part of the file's name, as in `os.rename summary.json`.
Knows nothing of the program that it ends.
"""

from __future__ import annotations

import os
import signal
import sys


def die_before(event: str, name: str) -> None:
    def look(happening: str, args: tuple[object, ...]) -> None:
        if happening == event and any(name in str(arg) for arg in args):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


if asked := os.environ.get("FAULTS_DIE_BEFORE"):
    die_before(*asked.split(" ", 1))
