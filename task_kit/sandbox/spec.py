"""What a box is asked to do, and how it ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from task_kit.sandbox.level import Level

Reason = Literal["timeout", "cpu", "memory", "processes", "file_size", "disk", "output"]


class SandboxError(Exception):
    """The fault of the machine or of the caller, never of the code inside."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message} (hint: {hint})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that one box may use; each limit is also the reason code with which a run can end.

    `wall_s` is the box's own time: what it waits for a turn on a busy processor does not count, up to six times as
    much.
    """

    wall_s: float = 10.0
    cpu_s: float = 10.0
    memory_bytes: int = 512 << 20
    processes: int = 64
    file_bytes: int = 16 << 20
    disk_bytes: int = 64 << 20
    output_bytes: int = 64 << 10
    open_files: int = 256

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ValueError(f"limits: expected {name} above 0, found {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What to run, and what it may use. Paths are the same inside and outside."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    readable: tuple[Path, ...]
    writable: Path | None
    room: Path | None = (
        None  # a file that keeps the room on disk for what is written, and is removed when that is fetched
    )
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended.

    `leftover`: something that it had started was still alive a moment after its end. `own_s` is `wall_s` without the
    time it waited for a turn on the processor.
    """

    exit_code: int | None
    signal: int | None
    reason: Reason | None
    stdout: bytes
    stderr: bytes
    wall_s: float
    own_s: float
    cpu_s: float
    peak_bytes: int
    leftover: bool
    level: Level
