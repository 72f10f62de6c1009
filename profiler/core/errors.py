"""The errors of the profiler: one class for each thing that can refuse, with the exit code that it gives a command.

Their texts say where and why, so that a person can act on them.
"""

from __future__ import annotations

import errno
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

import msgspec

from profiler.core.wording import alike

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from profiler.core.nouns import RateHeaders

SHOWN_PROBLEMS = 50
SHOWN_ALIKE = 3
SHOWN_LINES = 5
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong in one place of a file."""

    path: str
    message: str
    line: int | None = None
    column: int | None = None
    source: str | None = None
    hint: str | None = None

    @property
    def place(self) -> str:
        return ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.message}"]
        if self.source is not None and self.source.strip():  # the end of a file has no text to show
            lines.append(f"    {self.source}")
            if self.column is not None:
                lines.append("    " + " " * (self.column - 1) + "^")
        if self.hint:
            lines.append(f"    hint: {self.hint}")
        return "\n".join(lines)


class ProfilerError(Exception):
    """The base of all errors that a command reports as a message instead of a traceback."""

    exit_code = 2
    way_on: tuple[str, ...] = ()  # flags to add to the command so that it goes on without paying for anything twice

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(ProfilerError):
    """The command line, or the call of the Python API, asks for something that does not exist."""


class FileProblems(ProfilerError):
    """A file has problems. The message names all of them."""

    grouped = True  # of problems with the same message only the first few are shown, then the lines of the others

    def __init__(self, problems: Sequence[Problem]) -> None:
        groups: dict[tuple[str, str], list[Problem]] = {}
        for problem in problems:
            key = alike(problem.message) if self.grouped else str(problem)
            groups.setdefault((problem.path, key), []).append(problem)
        shown = [line for group in groups.values() for line in _shown(group)]
        if len(shown) > SHOWN_PROBLEMS:
            shown[SHOWN_PROBLEMS:] = [f"… and {len(shown) - SHOWN_PROBLEMS} more"]
        super().__init__("\n".join(shown))
        self.problems = tuple(problems)


def _shown(group: Sequence[Problem]) -> Iterator[str]:
    """The first few problems with the same message, and the lines of the others."""
    yield from map(str, group[:SHOWN_ALIKE])
    if others := group[SHOWN_ALIKE:]:
        lines = ", ".join(f"{each.line:,}" for each in others[:SHOWN_LINES] if each.line is not None)
        dots = ", …" if len(others) > SHOWN_LINES else ""
        yield f"{group[0].path}: and {len(others):,} more like it" + (f", at lines {lines}{dots}" if lines else "")


class ManifestError(FileProblems):
    """The manifest cannot be run as it is."""

    grouped = False  # each was written by hand, so each is worth a line


class DatasetError(FileProblems):
    """The dataset cannot be sent as it is."""


class LogError(FileProblems):
    """A journal or a log of an earlier run is damaged or is not one."""


class RunDirectoryError(ProfilerError):
    """The run directory is in use, not writable, or holds another run."""


class StorageError(ProfilerError):
    """The disk refused a write. Where that ended a run (`answers`), what was written before it is whole, and the run can be
    resumed."""

    def __init__(self, path: Path, cause: OSError, *, answers: bool = True) -> None:
        remedy = "make room" if cause.errno in NO_ROOM else "fix that"
        if cause.errno in NOT_ALLOWED:
            remedy = "make that place writable, or choose another one"
        if cause.errno == errno.ENOENT and not path.parent.is_dir():
            remedy = f"make its folder, {path.parent}"
        remedy += ", then run the same command again"
        super().__init__(
            f"{path}: cannot write: {cause.strerror or cause}",
            hint=f"everything answered so far is kept; {remedy}" if answers else remedy,
        )


class ProviderFailed(ProfilerError):
    """The provider refuses to go on; what was answered is kept and the run can be resumed."""

    exit_code = 3


class BudgetReached(ProfilerError):
    """The spending cap would be passed; what was answered is kept and the run can be resumed.

    `enough_usd` is a cap under which the run would probably finish, if somebody has estimated it; `of_all` says that it is
    the cap of the whole run, which --max-cost sets, and not one that the manifest gives to the experiment. `next_call` is
    the worst case of the call that was refused, in pico-dollars, where that is known.
    """

    exit_code = 4
    enough_usd: float | None = None
    of_all: bool = True
    next_call: int = 0

    def point_at_manifest(self, experiment_id: str) -> None:
        """Say that the cap is raised there, if it is the experiment's own."""
        if not self.of_all and self.enough_usd is not None:
            self.hint = f"raise max_cost_usd of {experiment_id} in the manifest, to {self.enough_usd:g} or so"


class Interrupted(ProfilerError):
    """A signal stopped the run; what was answered is kept and the run can be resumed."""

    def __init__(self, message: str, *, signum: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + signum


# A longer `retry-after` is cut to this; the deadline of the dialogue ends the wait anyway.
LONGEST_RETRY_AFTER_S = 3600.0


@dataclass(eq=False, repr=False)
class CallError(Exception):
    """One call to a client failed. Clients raise it; the engine turns it into a retry or a record.

    `retryable`: it may pass by itself. `fatal`: no other call can succeed either. `ramp`: the rate of calls grew too
    fast. `limits`: what the provider said about its rate limits while it refused. `sent`: whether the request may have
    reached the provider; a request that was never sent is not billed.
    """

    kind: str
    message: str
    _: KW_ONLY
    status: int | None = None
    request_id: str | None = None
    retryable: bool = False
    retry_after_s: float | None = None
    fatal: bool = False
    ramp: bool = False
    limits: RateHeaders | None = None
    sent: bool = True

    def __post_init__(self) -> None:
        super().__init__(self.message)
