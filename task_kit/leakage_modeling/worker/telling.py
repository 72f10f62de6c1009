"""How the box reports output and errors: short, printable, and only about the agent's own code. Runs in the box."""

from __future__ import annotations

import io
import traceback

from task_kit.leakage_modeling.worker.plain_text import clean
from task_kit.leakage_modeling.worker.time_limit import TimeUp

SHOWN_FRAMES = 4
LONGEST_TRACEBACK = 2_000
LONGEST_LINE = 500


class Capped(io.TextIOBase):
    """Keeps the beginning of what is written, and counts the rest."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._kept: list[str] = []
        self.cut = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        kept = text[: self._left]
        if kept:
            self._kept.append(kept)
            self._left -= len(kept)
        self.cut += len(text) - len(kept)
        return len(text)

    @property
    def text(self) -> str:
        return "".join(self._kept)


def short_traceback(error: BaseException) -> str:
    """The error, and where in the agent's own code it happened."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("<call ")]
    places = [_place(frame) for frame in own]
    left_out = [f"  … {len(own) - SHOWN_FRAMES} more calls"] if len(own) > SHOWN_FRAMES else []
    what = "".join(traceback.format_exception_only(error)).rstrip()
    if len(what) > LONGEST_TRACEBACK:
        what = f"{what[:LONGEST_TRACEBACK]}…"
    return clean("\n".join([*left_out, *places[-SHOWN_FRAMES:], what]))


def one_line(error: BaseException) -> str:
    """The error in one line."""
    if isinstance(error, TimeUp):
        return f"it took longer than {error.said}"
    what = " ".join("".join(traceback.format_exception_only(error)).split())
    return clean(what, most=500)


def _place(frame: traceback.FrameSummary) -> str:
    line = frame.line or ""
    shown = line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"
    return f"  {frame.filename}, line {frame.lineno}, in {frame.name[:LONGEST_LINE]}\n    {shown}"
