"""The strongest level: the user's own commands start a container and end it.

The commands are in `TASK_KIT_CONTAINER` and `TASK_KIT_CONTAINER_END`. They may use the options that docker and podman
have in common.
"""

from __future__ import annotations

import math
import os
import shlex
import subprocess
from typing import TYPE_CHECKING

from task_kit.sandbox.spec import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from task_kit.sandbox.spec import Limits

START, END = "TASK_KIT_CONTAINER", "TASK_KIT_CONTAINER_END"
END_S = 30.0


def configured() -> bool:
    return bool(os.environ.get(START, "").strip())


def start(argv: Iterable[str], env: Mapping[str, str], *, name: str, mounts: list[str], limits: Limits) -> list[str]:
    """The words `{mounts}` and `{limits}` are replaced by several; `{name}` may be part of a word."""
    if not configured():
        raise SandboxError("level container: no command for it", hint=f"say in {START} how to start one")
    several = {"{mounts}": mounts, "{limits}": limit_words(limits)}
    words = shlex.split(os.environ[START])
    filled = [part for word in words for part in several.get(word, [word.replace("{name}", name)])]
    return [*filled, "/usr/bin/env", "-i", *(f"{key}={value}" for key, value in env.items()), *argv]


def end(name: str) -> None:
    """Killing an engine's client does not end its container, so the engine must be told."""
    words = [word.replace("{name}", name) for word in shlex.split(os.environ.get(END, ""))]
    if words:
        try:
            subprocess.run(words, check=False, capture_output=True, timeout=END_S)  # noqa: S603 -- the user's own words
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SandboxError(f"level container: {END} did not end {name}: {error}") from error


def mounts(readable: Iterable[str], writable: str | None) -> list[str]:
    found = [f"--mount=type=bind,source={path},target={path},readonly" for path in readable]
    return found + ([f"--mount=type=bind,source={writable},target={writable}"] if writable else [])


def limit_words(limits: Limits) -> list[str]:
    cpu = math.ceil(limits.cpu_s)
    return [
        f"--memory={limits.memory_bytes}",
        f"--pids-limit={limits.processes}",
        f"--ulimit=cpu={cpu}:{cpu + 1}",
        f"--ulimit=fsize={limits.file_bytes}",
        f"--ulimit=nofile={limits.open_files}",
        "--ulimit=core=0",
    ]
