"""Which levels hold on this machine, found out by trying, and runs at the strongest of them.

Comes in: a spec. Goes out: an outcome at a level whose probes were all stopped. A level that does not hold is an
error, never a quiet step down.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from task_kit.sandbox.box import boxed
from task_kit.sandbox.container import configured
from task_kit.sandbox.level import Level
from task_kit.sandbox.probes import probe
from task_kit.sandbox.spec import SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from task_kit.sandbox.probes import Probe
    from task_kit.sandbox.spec import Outcome, Spec

TRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """`why`: for each stronger level, what is missing here."""

    level: Level
    probes: Mapping[Level, tuple[Probe, ...]]
    why: Mapping[Level, str]


class Tried:
    """What is known so far. A level is tried once in a process, however many threads ask."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.results: dict[Level, tuple[Probe, ...] | str] = {}

    def result(self, level: Level) -> tuple[Probe, ...] | str:
        """The probes when the level holds, or the reason why it does not."""
        with self.turn:
            if level not in self.results:
                self.results[level] = attempt(level)
            return self.results[level]


TRIED = Tried()


def attempt(level: Level) -> tuple[Probe, ...] | str:
    """An escape is believed at once. A box that could not be built or asked is tried again: a busy machine must not
    lower what a whole process runs at."""
    why = ""
    for _ in range(TRIES):
        try:
            probes = probe(level, lasting=False)
        except (SandboxError, OSError) as error:
            why = str(error)
        else:
            return missing(level, probes) or probes
    return why


def missing(level: Level, probes: tuple[Probe, ...]) -> str | None:
    """What a level claims to stop and did not."""
    escaped = [f"{found.name} ({found.said})" for found in probes if found.claimed and not found.stopped]
    return f"level {level.label}: not stopped: {', '.join(escaped)}" if escaped else None


def ladder() -> list[Level]:
    """A container only where somebody has said how to start one."""
    return sorted((level for level in Level if level is not Level.CONTAINER or configured()), reverse=True)


def detect(wanted: Level | None = None) -> Detection:
    """The strongest level whose probes all hold, those below it are not tried; or the one that is wanted, if it holds."""
    why: dict[Level, str] = {}
    for level in ladder() if wanted is None else [wanted]:
        result = TRIED.result(level)
        if not isinstance(result, str):
            return Detection(level=level, probes={level: result}, why=why)
        why[level] = result
    raise SandboxError("no box holds here: " + "; ".join(why.values()))


def examine(level: Level) -> tuple[Probe, ...]:
    """All probes of one level afresh, the slow one too."""
    return probe(level, lasting=True)


def sure_of(level: Level | None) -> Level:
    if level is None:
        return detect().level
    result = TRIED.result(level)
    if isinstance(result, str):
        raise SandboxError(result, hint="sandbox.detect() says what holds here")
    return level


def run(spec: Spec, *, level: Level | None = None) -> Outcome:
    """Blocking, and safe from many threads. On return the whole process tree is dead."""
    return boxed(spec, sure_of(level))
