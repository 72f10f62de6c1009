"""How many calls at once, and how many run folders, the system's limit on open files allows."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import NamedTuple

SPARE = 64  # for the files of the run, DNS look-ups, and connections that are about to close
FILES_OF_A_RUN = 8  # the folder, three logs, the ledger, what is not laid out yet, the dataset
USUALLY_OPEN = 32  # assumed where /proc does not exist
OPEN_FILES = Path("/proc/self/fd")


class Room(NamedTuple):
    """The number of calls at once, and a warning when it is smaller than what was wanted."""

    concurrency: int
    warning: str | None


def make_room(concurrency: int) -> Room:
    """Raise this process's soft limit on open files as far as so many calls need it and the hard limit allows."""
    return bounded(concurrency, limit=_raised_to(concurrency), open_now=_open_now())


def room_for_runs(wanted: int, *, calls: int) -> int:
    """How many run folders may be open at once beside so many calls: as many as are wanted, if the system allows it."""
    free = _raised_to(calls + wanted * FILES_OF_A_RUN) - _open_now() - SPARE - calls
    return wanted if free >= wanted * FILES_OF_A_RUN else max(1, int(free) // FILES_OF_A_RUN)


def _raised_to(files: int) -> float:
    """The limit, once it has been raised as far as so many more files need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = files + _open_now() + SPARE
    if _finite(soft) >= needed:
        return _finite(soft)
    wanted = needed if _finite(hard) >= needed else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):  # then it stays as it is
        return _finite(soft)
    return _finite(wanted)


def bounded(concurrency: int, *, limit: float, open_now: int) -> Room:
    """The number of calls that fit into a limit on open files; at least one, without which nothing could be asked."""
    free = limit - open_now - SPARE
    if free >= concurrency:
        return Room(concurrency, None)
    fewer = max(1, int(free))
    return Room(
        fewer,
        f"the system allows this process {limit:,.0f} open files, so at most {fewer:,} calls run at once, "
        f"not {concurrency:,}; raise the hard limit (`ulimit -Hn`) for more",
    )


def _open_now() -> int:
    try:
        return sum(1 for _ in OPEN_FILES.iterdir())
    except OSError:
        return USUALLY_OPEN


def _finite(limit: int) -> float:
    return float("inf") if limit == resource.RLIM_INFINITY else limit
