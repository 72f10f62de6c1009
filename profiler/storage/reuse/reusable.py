"""Answers of earlier runs that a new one may take over instead of paying for them again.

An answer fits when it was given to the same request, in the same repeat, by the same source: client, provider, address,
API version and mode, and for the mock its settings too. Errors are no answers; refusals and truncated ones are.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from profiler.core.json import DecodeError, dumps
from profiler.core.nouns import Record, RecordType, Request
from profiler.storage import run_directory
from profiler.storage.names import JOURNAL, REQUESTS, RESPONSES
from profiler.storage.reading.read_logs import READ_BUFFER, as_record, damaged, paid_before
from profiler.storage.reading.saved_run import asides_of
from profiler.storage.reading.unfinished import unfinished
from profiler.storage.reuse.answer_index import Answer, AnswerIndex

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from profiler.storage.reuse.known_runs import Known

FILES_OPEN = 64
# How long an answer took belongs to the run in which it was asked for.
TIMES = ("at_s", "held_s", "between_s", "ttft_s", "gap_p50_s", "gap_p95_s", "tokens_per_s")
NOT_OF_THIS_RUN: dict[str, Any] = {
    "latency_s": None,
    "queue_s": None,
    "attempts": 0,
    **dict.fromkeys(TIMES, msgspec.UNSET),
}

Line = TypeVar("Line")


class _AskedLine(msgspec.Struct, gc=False):
    dialogue_id: str
    request_hash: str
    repeat: int = 0


class _GotLine(msgspec.Struct, gc=False):
    """`completion` stays undecoded: only whether it was kept matters here."""

    dialogue_id: str
    type: RecordType
    completion: msgspec.Raw = msgspec.Raw()


class Reusable:
    """All answers of some earlier runs. `notes` say what of them nobody can take over."""

    def __init__(self, runs: Sequence[Known]) -> None:
        self.notes: list[str] = []
        self._runs = tuple(runs)
        self._sources: dict[bytes, int] = {}
        self._whole: list[bool] = []  # of each run, whether its lines hold every reply of a conversation
        self._index = AnswerIndex()
        self._logs = _Logs()
        try:
            for number, run in enumerate(self._runs):
                self._add(number, run)
            self._index.all_added()
        except BaseException:  # such as a damaged run: nobody gets this object, to close it
            self.close()
            raise

    def _add(self, number: int, run: Known) -> None:
        earlier = run_directory.earlier(run.folder)
        fields = None if earlier is None else earlier.identity.get("output_fields")
        self._whole.append(fields is None or "replies" in fields)
        source = None if earlier is None else _source_of(earlier.identity)
        if earlier is None or source is None:
            self._logs.add(None)
            self.notes.append(f"--reuse: {run.folder} does not say who answered it, so nothing of it is taken over")
            return
        self._logs.add(run.folder / (RESPONSES if earlier.complete else JOURNAL))
        answers = _of_complete(run.folder) if earlier.complete else _of_unfinished(run.folder)
        place = self._sources.setdefault(source, len(self._sources))
        try:
            added = self._index.add(answers, run=number, source=place)
        except ValueError as error:
            raise damaged(run.folder / REQUESTS, f"has a request_hash that is none: {error}") from error
        if not added:
            self.notes.append(f"--reuse: {run.folder} has no answers that could be taken over")

    def answers_for(self, folder: Path, identity: Mapping[str, Any]) -> Answers | None:
        """The answers that the run with this folder and identity may take over; None if no run asked the same source."""
        source = self._sources.get(_source_of(identity) or b"")
        if source is None:
            return None
        own = next((number for number, run in enumerate(self._runs) if run.writes == folder), -1)
        return Answers(self, source=source, own=own, live=identity.get("mode") == "live")

    def find(self, request: Request, *, source: int, own: int) -> tuple[Record, str] | None:
        """The record of the answer to this request, and the name of its run."""
        line, repeat = request.line, request.repeat or 0
        place = self._index.find(line.request_hash, repeat=repeat, source=source, dialogue_id=line.dialogue_id, but=own)
        if place is None:
            return None
        if not self._whole[place.run] and len(request.dialogue.turns or ()) > 1:
            return None
        found = as_record(self._logs.line(place.run, at=place.at, size=place.size), index=request.index)
        return found, self._runs[place.run].name

    def close(self) -> None:
        self._logs.close()
        self._index.close()


class Answers:
    """The answers that one run may take over."""

    def __init__(self, all_of_them: Reusable, *, source: int, own: int, live: bool) -> None:
        self._all = all_of_them
        self._source = source
        self._own = own
        self._live = live

    def find(self, request: Request) -> Record | None:
        """The record for this request as it is kept in the new run: paid before, not timed now.

        An answer that was taken over before keeps its first run and price.
        """
        found = self._all.find(request, source=self._source, own=self._own)
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


class _Logs:
    """The files in which the answers stand; only some of them are open at a time."""

    def __init__(self) -> None:
        self._logs: list[tuple[Path, os.stat_result] | None] = []
        self._open: OrderedDict[int, BinaryIO] = OrderedDict()

    def add(self, path: Path | None) -> None:
        self._logs.append(None if path is None else (path, path.stat()))

    def line(self, run: int, *, at: int, size: int) -> bytes:
        file = self._open.get(run)
        if file is None:
            file = self._opened(run)
        return os.pread(file.fileno(), size, at)

    def _opened(self, run: int) -> BinaryIO:
        if len(self._open) >= FILES_OPEN:
            self._open.popitem(last=False)[1].close()
        log = self._logs[run]
        if log is None:
            raise AssertionError("the index names no run without answers")
        path, known = log
        for place in (path, *(aside / path.name for aside in asides_of(path.parent))):  # --fresh may move it meanwhile
            with suppress(FileNotFoundError):
                file = place.open("rb")
                if os.path.samestat(os.fstat(file.fileno()), known):
                    self._open[run] = file
                    return file
                file.close()
        raise damaged(path, "is gone, while its answers were taken over")

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()


def _source_of(identity: Mapping[str, Any]) -> bytes | None:
    """Who answered, as one comparable value; None for runs of old versions, which did not record it."""
    if "address" not in identity:
        return None
    return dumps({name: identity.get(name) for name in run_directory.SOURCE})


def _of_complete(folder: Path) -> Iterator[Answer]:
    at = 0
    pairs = zip(_lines(folder / REQUESTS, _AskedLine), _lines(folder / RESPONSES, _GotLine), strict=False)
    for (asked, _), (record, size) in pairs:
        if asked.dialogue_id != record.dialogue_id:
            raise damaged(folder / RESPONSES, f"has {record.dialogue_id!r} where {asked.dialogue_id!r} was asked")
        if _is_answer(record):
            yield Answer(asked.request_hash, asked.repeat, asked.dialogue_id, at, size)
        at += size


def _of_unfinished(folder: Path) -> Iterator[Answer]:
    begun = unfinished(folder)
    if begun is None or not begun.kept:
        return
    decode = msgspec.json.Decoder(_GotLine).decode
    with (folder / JOURNAL).open("rb") as journal:
        for (asked, _), place in zip(_lines(folder / REQUESTS, _AskedLine), begun.places, strict=False):
            if place:
                journal.seek(place)
                line = journal.readline()
                if _is_answer(decode(line)):
                    yield Answer(asked.request_hash, asked.repeat, asked.dialogue_id, place, len(line))


def _is_answer(record: _GotLine) -> bool:
    """An error is none, nor is a line without the words, which `output_fields` may have left out."""
    return record.type != "error" and bool(bytes(record.completion))


def _lines(path: Path, kind: type[Line]) -> Iterator[tuple[Line, int]]:
    """The lines of a log with their sizes; a killed run may have cut its last line."""
    decode = msgspec.json.Decoder(kind).decode
    try:
        with path.open("rb", buffering=READ_BUFFER) as log:
            for number, line in enumerate(log, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield decode(line), len(line)
                except (DecodeError, UnicodeDecodeError, RecursionError) as error:
                    raise damaged(path, f"is not a line of this log: {error}", line=number) from error
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror or error}") from error
