"""Runs a line of Python in a box, which is how most tests of the sandbox begin."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from task_kit import sandbox
from task_kit.sandbox import Level, Limits, Outcome, Spec, kernel, landlock

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALL = Limits(wall_s=20.0, cpu_s=10.0)


def offered() -> list[Level]:
    """What this kernel has the means for. Where it has them a level must hold: a test is not left out for its failure."""
    levels = [Level.PROCESS]
    if landlock.version():
        levels.append(Level.KERNEL)
    if may_unshare():
        levels.append(Level.NAMESPACES)
    return levels


def may_unshare() -> bool:
    child = os.fork()
    if not child:
        try:
            kernel.unshare(kernel.CLONE_NEWUSER if os.geteuid() else kernel.CLONE_NEWNS)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


LEVELS = offered()


def run(
    code: str,
    *,
    level: Level,
    writable: Path | None = None,
    readable: tuple[Path, ...] = (),
    env: Mapping[str, str] | None = None,
    limits: Limits = SMALL,
) -> Outcome:
    spec = Spec(
        argv=(*sandbox.PYTHON, "-c", code),
        env=env or {},
        cwd=writable or Path("/"),
        readable=(*readable, *sandbox.python_paths()),
        writable=writable,
        limits=limits,
    )
    return sandbox.run(spec, level=level)
