"""Which levels hold on this machine, found out by trying, and runs at the strongest of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from task_kit.sandbox.box import boxed
from task_kit.sandbox.level import Level
from task_kit.sandbox.probes import Probe
from task_kit.sandbox.spec import SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from task_kit.sandbox.spec import Outcome, Spec

LADDER = (Level.NAMESPACES, Level.KERNEL, Level.PROCESS)
TURN = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """`why`: for each stronger level, what is missing here."""

    level: Level
    probes: Mapping[Level, tuple[Probe, ...]]
    why: Mapping[Level, str]


def run(spec: Spec, *, level: Level | None = None) -> Outcome:
    return boxed(spec, sure_of(level))


def sure_of(level: Level | None) -> Level:
    return detect().level if level is None else level


def detect() -> Detection:
    with TURN:
        return detected()


@cache
def detected() -> Detection:
    why: dict[Level, str] = {}
    for level in LADDER:
        try:
            probes = examine(level)
        except SandboxError as error:
            why[level] = str(error)
        else:
            return Detection(level=level, probes={level: probes}, why=why)
    raise SandboxError("no box can be built here: " + "; ".join(why.values()))


def examine(level: Level) -> tuple[Probe, ...]:
    from pathlib import Path

    from task_kit.sandbox.interpreter import python, python_paths
    from task_kit.sandbox.spec import Spec

    argv = (*python(), "-c", "")
    spec = Spec(argv=argv, env={}, cwd=Path("/"), readable=python_paths(), writable=None)
    outcome = boxed(spec, level)
    return (Probe(name="starts", stopped=outcome.exit_code == 0, said=outcome.stderr.decode(errors="replace")),)
