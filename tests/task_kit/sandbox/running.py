"""Runs a line of Python in a box: what most tests of the sandbox begin with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from task_kit import sandbox
from task_kit.sandbox import Level, Limits, Outcome, SandboxError, Spec
from task_kit.sandbox.detection import sure_of

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALL = Limits(wall_s=20.0, cpu_s=10.0)


def holds(level: Level) -> bool:
    try:
        return sure_of(level) is level
    except SandboxError:
        return False


LEVELS = [level for level in (Level.PROCESS, Level.KERNEL, Level.NAMESPACES) if holds(level)]


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
