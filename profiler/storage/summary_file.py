"""Reads and writes summary.json; reading checks its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from profiler.core import json as codec
from profiler.core.errors import LogError, Problem
from profiler.storage.names import SUMMARY
from profiler.storage.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RECOMPUTE: Final = "profiler summarize --recompute --log-dir"


def write(path: Path, summary: Mapping[str, Any]) -> None:
    """Replace the file as a whole: a reader never sees half a summary, and a full disk leaves the old one."""
    write_whole(path, codec.dump_pretty(dict(summary)))


def read(log_dir: Path) -> dict[str, Any]:
    path = log_dir / SUMMARY
    try:
        found = codec.loads(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror or error}") from error
    except (codec.JSONDecodeError, RecursionError) as error:
        raise _unreadable(path, f"is not JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(found.get(key), dict) for key in ("metrics", "counts", "run")):
        raise _unreadable(path, "is not the summary of a run: an object with metrics, counts and run is expected")
    return found


def _unreadable(path: Path, message: str) -> LogError:
    hint = f"count it again from the logs: {RECOMPUTE} {path.parent}"
    return LogError([Problem(path=str(path), message=message, hint=hint)])
