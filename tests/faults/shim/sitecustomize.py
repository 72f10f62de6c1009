"""Kills the process right before a chosen operation on a file, as a power cut would. Python imports it when it starts.

FAULTS_DIE_BEFORE holds an audit event of Python and a part of the file's name, as in `os.rename summary.json`.
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
