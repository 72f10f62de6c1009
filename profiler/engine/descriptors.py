"""How many calls at once the system's limit on open files allows, as each connection is an open file."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

SPARE = 64  # for the files of the run, DNS look-ups, and connections that are about to close
USUALLY_OPEN = 32  # assumed where /proc does not exist
OPEN_FILES = Path("/proc/self/fd")


class Room(NamedTuple):
    """The number of calls at once, and a warning when it is smaller than what was wanted."""

    concurrency: int
    warning: str | None


def make_room(concurrency: int) -> Room:
    """Raise this process's soft limit on open files as far as so many calls need it and the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = concurrency + _open_now() + SPARE
    if _finite(soft) < needed:
        wanted = needed if _finite(hard) >= needed else hard
        with suppress(ValueError, OSError):  # then it stays as it is
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return bounded(concurrency, limit=_finite(soft), open_now=_open_now())


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
