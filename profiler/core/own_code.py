"""Describes an exception in code that the user wrote, such as a metric: its place, and their part of the traceback."""

from __future__ import annotations

import traceback
from functools import cache
from pathlib import Path

from profiler.core.wording import printable

OURS = Path(__file__).resolve().parents[1]


def expect_fault(error: BaseException) -> None:
    """Whatever code of the user's own raises is a fault of it: `SystemExit` too, which would end the program, and
    `CancelledError`, which would end all experiments. Only Ctrl-C is a person's and raised again."""
    if isinstance(error, KeyboardInterrupt):
        raise error


def said(error: BaseException) -> str:
    """The exception in one line: `KeyError: 'x' (my_metrics.py:12)`. It may quote an answer, so nothing in it steers a
    terminal."""
    text = printable(" ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split()))
    frames = _own_frames(error)
    return f"{text} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else text


def their_traceback(error: BaseException) -> str:
    """The lines of the traceback in files of the user; empty when there are none."""
    return "".join(traceback.format_list(_own_frames(error))).rstrip()


def _own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames that belong neither to us nor to an installed library."""
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if not Path(frame.filename).is_relative_to(OURS) and not _is_library(frame)]


def _is_library(frame: traceback.FrameSummary) -> bool:
    """Compiled libraries name their sources, wherever these were: the event loop of live runs is `uvloop/loop.pyx`."""
    return frame.filename.startswith((*_libraries(), "<frozen")) or frame.filename.endswith(".pyx")


@cache
def _libraries() -> frozenset[str]:
    """Asked for only once something has failed: `sysconfig` takes some milliseconds to load and to answer."""
    import sysconfig  # noqa: PLC0415

    return frozenset(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
