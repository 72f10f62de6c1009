"""Answers of earlier runs that a new one may take over instead of paying for them again.

An answer fits when it was given to the same request, in the same repeat, by the same source: client, provider, address,
API version and mode, and for the mock its settings too. Errors are no answers; refusals and truncated ones are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from profiler.core.json import DecodeError, dumps
from profiler.core.nouns import RecordType
from profiler.storage import run_directory
from profiler.storage.names import JOURNAL, REQUESTS, RESPONSES
from profiler.storage.questions import Question
from profiler.storage.reading.read_logs import READ_BUFFER, damaged
from profiler.storage.reading.unfinished import unfinished
from profiler.storage.reuse.answer_index import Answer, AnswerIndex
from profiler.storage.reuse.answers import AnsweredRun, AnsweredRuns, Answers
from profiler.storage.shared_runs.range_table import read_table
from profiler.storage.shared_runs.ranges import RangeFolders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from profiler.storage.reuse.known_runs import Known

Line = TypeVar("Line")


class _GotLine(msgspec.Struct, gc=False):
    """`completion` stays undecoded: only whether it was kept matters here."""

    dialogue_id: str
    type: RecordType
    completion: msgspec.Raw = msgspec.Raw()


class Reusable:
    """All answers of some earlier runs. `notes` say what of them nobody can take over."""

    def __init__(self, runs: Sequence[Known]) -> None:
        self.notes: list[str] = []
        self._sources: dict[bytes, int] = {}
        self._own: dict[Path, int] = {}  # of the runs that are gone on with, the numbers of their logs
        self._answered = AnsweredRuns(AnswerIndex())
        try:
            for run in runs:
                self._add(run)
            self._answered.index.all_added()
        except BaseException:  # such as a damaged run: nobody gets this object, to close it
            self.close()
            raise

    def _add(self, run: Known) -> None:
        table = read_table(run.folder)
        if table is None:
            earlier = run_directory.earlier(run.folder)
            identity, whole_logs = (None, False) if earlier is None else (earlier.identity, earlier.complete)
            logs = iter([_log_of(run.folder, complete=whole_logs)])
        elif run.writes is not None:  # what it has it keeps, and what it owes is not there
            return
        else:
            identity, logs = table.identity, _logs_of_shared(run.folder)
        source = None if identity is None else _source_of(identity)
        if identity is None or source is None:
            self.notes.append(f"--reuse: {run.folder} does not say who answered it, so nothing of it is taken over")
            return
        fields, number = identity.get("output_fields"), self._sources.setdefault(source, len(self._sources))
        added = 0
        for log, answers in logs:
            if run.writes is not None:
                self._own[run.writes] = len(self._answered.runs)
            added += self._add_log(run, log, answers, source=number, whole=fields is None or "replies" in fields)
        if not added:
            self.notes.append(f"--reuse: {run.folder} has no answers that could be taken over")

    def _add_log(self, run: Known, log: Path, answers: Iterator[Answer], *, source: int, whole: bool) -> int:
        answered = self._answered
        number = len(answered.runs)
        inside = str(log.relative_to(run.folder))
        found = AnsweredRun(run.name, whole=whole, folder=run.folder.absolute(), log=inside, inode=log.stat().st_ino)
        answered.runs.append(found)
        try:
            return answered.index.add(answers, run=number, source=source)
        except ValueError as error:
            raise damaged(log.with_name(REQUESTS), f"has a request_hash that is none: {error}") from error

    def answers_for(self, folder: Path, identity: Mapping[str, Any]) -> Answers | None:
        """The answers that the run with this folder and identity may take over; None if no run asked the same source."""
        source = self._sources.get(_source_of(identity) or b"")
        if source is None:
            return None
        own = self._own.get(folder, -1)
        return Answers(self._answered, source=source, own=own, live=identity.get("mode") == "live")

    def close(self) -> None:
        self._answered.close()


def _log_of(folder: Path, *, complete: bool) -> tuple[Path, Iterator[Answer]]:
    if complete:
        return folder / RESPONSES, _of_complete(folder)
    return folder / JOURNAL, _of_unfinished(folder)


def _logs_of_shared(folder: Path) -> Iterator[tuple[Path, Iterator[Answer]]]:
    """The logs of an unfinished run of several processes: what is put together, what is committed, what is begun."""
    folders = RangeFolders(folder)
    if (folder / RESPONSES).exists():
        yield _log_of(folder, complete=True)
    for first in folders.all_done():
        yield _log_of(folders.done(first), complete=True)
    last_of_each = {each.first: each for each in folders.candidates()}
    for candidate in last_of_each.values():
        if (candidate.folder / JOURNAL).exists():
            yield _log_of(candidate.folder, complete=False)


def _source_of(identity: Mapping[str, Any]) -> bytes | None:
    """Who answered, as one comparable value; None for runs of old versions, which did not record it."""
    if "address" not in identity:
        return None
    return dumps({name: identity.get(name) for name in run_directory.SOURCE})


def _of_complete(folder: Path) -> Iterator[Answer]:
    at = 0
    pairs = zip(_lines(folder / REQUESTS, Question), _lines(folder / RESPONSES, _GotLine), strict=False)
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
        for (asked, _), place in zip(_lines(folder / REQUESTS, Question), begun.places, strict=False):
            if place:
                journal.seek(place)
                line = journal.readline()
                if _is_answer(decode(line)):
                    yield Answer(asked.request_hash, asked.repeat, asked.dialogue_id, place, len(line))


def _is_answer(record: _GotLine) -> bool:
    """Whether the line holds an answer: an error is none, and `output_fields` may have left the words out."""
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
