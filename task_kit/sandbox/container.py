"""The strongest level: a command of the user's own that starts a container.

Comes in: the words of `TASK_KIT_CONTAINER`. Goes out: the command that runs a program in it. Knows nothing of any engine.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from task_kit.sandbox.spec import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from task_kit.sandbox.spec import Limits

VARIABLE = "TASK_KIT_CONTAINER"


def prefix() -> list[str]:
    return shlex.split(os.environ.get(VARIABLE, ""))


def command(argv: Iterable[str], env: Mapping[str, str], *, mounts: list[str], limits: Limits) -> list[str]:
    """`{mounts}` becomes a --mount for each path, `{memory}` and `{processes}` the limits, in bytes and a number."""
    words = prefix()
    if not words:
        raise SandboxError("level container: no command for it", hint=f"say in {VARIABLE} how to start one")
    filled: list[str] = []
    for word in words:
        if word == "{mounts}":
            filled += mounts
        else:
            numbers = {"{memory}": limits.memory_bytes, "{processes}": limits.processes}
            for name, number in numbers.items():
                word = word.replace(name, str(number))
            filled.append(word)
    return [*filled, "/usr/bin/env", "-i", *(f"{name}={value}" for name, value in env.items()), *argv]


def mounts(readable: Iterable[str], writable: str | None) -> list[str]:
    found = [f"--mount=type=bind,source={path},target={path},readonly" for path in readable]
    return found + ([f"--mount=type=bind,source={writable},target={writable}"] if writable else [])
