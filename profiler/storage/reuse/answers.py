"""The answers that one run may take over: each is found by its request, and read where it stands in its own log.

Several processes that answer one run look into the same index: one of them saves it, the others open it for reading.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from profiler.core.nouns import Record, Request
from profiler.storage.reading.read_logs import as_record, damaged, paid_before
from profiler.storage.reading.saved_run import asides_of
from profiler.storage.reuse.answer_index import AnswerIndex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

FILES_OPEN: Final = 64
# How long an answer took belongs to the run in which it was asked for.
TIMES: Final = ("at_s", "held_s", "between_s", "ttft_s", "gap_p50_s", "gap_p95_s", "tokens_per_s")
NOT_OF_THIS_RUN: Final[dict[str, Any]] = {
    "latency_s": None,
    "queue_s": None,
    "attempts": 0,
    **dict.fromkeys(TIMES, msgspec.UNSET),
}


class AnsweredRun(msgspec.Struct, frozen=True):
    """A run with known answers, or a part of one: how the run is called, whether its lines hold every reply of a conversation
    (`whole`), its folder, and the log in it that has the answers. The log is known by its inode, because --fresh may move it.
    """

    name: str
    whole: bool
    folder: Path
    log: str
    inode: int


class AnsweredRuns:
    """Finds the answers of some runs; only some of their logs are open at a time."""

    def __init__(self, index: AnswerIndex, runs: list[AnsweredRun] | None = None) -> None:
        self.index = index
        self.runs = [] if runs is None else runs
        self._open: OrderedDict[int, BinaryIO] = OrderedDict()

    def find(self, request: Request, *, source: int, own: int) -> tuple[Record, str] | None:
        """The record of the answer to this request, and the name of its run."""
        line, repeat = request.line, request.repeat or 0
        place = self.index.find(line.request_hash, repeat=repeat, source=source, dialogue_id=line.dialogue_id, but=own)
        if place is None:
            return None
        run = self.runs[place.run]
        if not run.whole and len(request.dialogue.turns or ()) > 1:
            return None
        file = self._open.get(place.run) or self._opened(place.run)
        found = as_record(os.pread(file.fileno(), place.size, place.at), index=request.index)
        return found, run.name

    def _opened(self, number: int) -> BinaryIO:
        if len(self._open) >= FILES_OPEN:
            self._open.popitem(last=False)[1].close()
        run = self.runs[number]
        for folder in (run.folder, *asides_of(run.folder)):
            with suppress(FileNotFoundError):
                file = (folder / run.log).open("rb")
                # The number of its device may differ on another machine that sees the same folder.
                if os.fstat(file.fileno()).st_ino == run.inode:
                    self._open[number] = file
                    return file
                file.close()
        raise damaged(run.folder / run.log, "is gone, while its answers were taken over")

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()
        self.index.close()


class _About(msgspec.Struct, frozen=True):
    """What a saved index says besides where answers stand."""

    runs: list[AnsweredRun]
    source: int
    own: int
    live: bool


class Answers:
    """The answers that one run may take over: those of `source`, but for those that the run has itself (the number `own`)."""

    def __init__(self, answered: AnsweredRuns, *, source: int, own: int, live: bool) -> None:
        self._answered = answered
        self._source = source
        self._own = own
        self._live = live

    def find(self, request: Request) -> Record | None:
        """The record for this request as it is kept in the new run: paid before, not timed now.

        An answer that was taken over before keeps its first run and price.
        """
        found = self._answered.find(request, source=self._source, own=self._own)
        if found is None:
            return None
        record, name = found
        return msgspec.structs.replace(
            paid_before(record),
            dialogue_id=request.line.dialogue_id,
            repeat=msgspec.UNSET if request.repeat is None else request.repeat,
            **NOT_OF_THIS_RUN,
            cost_usd=0.0 if self._live else None,
            reused_from=name if record.reused_from is msgspec.UNSET else record.reused_from,
        )

    def save(self, path: Path) -> None:
        """Write them down for other processes, in the place of what an earlier command has written there."""
        about = _About(self._answered.runs, self._source, self._own, self._live)
        self._answered.index.save(path, about=msgspec.json.encode(about, enc_hook=str))


@contextmanager
def saved_answers(path: Path) -> Iterator[Answers]:
    """What another process has saved there."""
    index = AnswerIndex(path)
    try:
        about = msgspec.json.decode(index.about, type=_About, dec_hook=lambda kind, found: kind(found))
        answered = AnsweredRuns(index, about.runs)
    except BaseException:
        index.close()
        raise
    try:
        yield Answers(answered, source=about.source, own=about.own, live=about.live)
    finally:
        answered.close()
