"""Finds out by trying which isolation levels hold on this machine, and runs boxes at the strongest of them.

A level holds when all probes that it claims to stop were stopped. If a wanted level does not hold, that is an error: a
weaker one is never used silently.
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
    """The level found, and for each stronger level in `why` what is missing here."""

    level: Level
    probes: Mapping[Level, tuple[Probe, ...]]
    why: Mapping[Level, str]


class Tried:
    """Results so far. Each level is tried once in a process, however many threads ask."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.results: dict[Level, tuple[Probe, ...] | str] = {}

    def result(self, level: Level) -> tuple[Probe, ...] | str:
        """The probes if the level holds, or the reason why it does not."""
        with self.turn:
            if level not in self.results:
                self.results[level] = attempt(level)
            return self.results[level]


TRIED = Tried()


def attempt(level: Level) -> tuple[Probe, ...] | str:
    """Try a level. An escape counts at once.

    A box that could not be built or asked is tried again: a busy machine must not lower the level of a whole process.
    """
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
    """What a level claims to stop but did not stop; None if it holds."""
    escaped = [f"{found.name} ({found.said})" for found in probes if found.claimed and not found.stopped]
    return f"level {level.label}: not stopped: {', '.join(escaped)}" if escaped else None


def ladder() -> list[Level]:
    """All levels, strongest first; a container only if somebody has configured how to start one."""
    return sorted((level for level in Level if level is not Level.CONTAINER or configured()), reverse=True)


def detect(wanted: Level | None = None) -> Detection:
    """The strongest level that holds; weaker ones are not tried. Or `wanted`, if it holds."""
    why: dict[Level, str] = {}
    for level in ladder() if wanted is None else [wanted]:
        result = TRIED.result(level)
        if not isinstance(result, str):
            return Detection(level=level, probes={level: result}, why=why)
        why[level] = result
    raise SandboxError("no box holds here: " + "; ".join(why.values()))


def examine(level: Level) -> tuple[Probe, ...]:
    """All probes of one level, tried anew, including the slow one."""
    return probe(level, lasting=True)


def sure_of(level: Level | None) -> Level:
    if level is None:
        return detect().level
    result = TRIED.result(level)
    if isinstance(result, str):
        raise SandboxError(result, hint="sandbox.detect() says what holds here")
    return level


def run(spec: Spec, *, level: Level | None = None) -> Outcome:
    """Run a box. Blocks, and is safe from many threads. On return its whole process tree is dead."""
    return boxed(spec, sure_of(level))
