"""A dataset file: surveyed once before anything is sent, then read as a stream.

Dialogues come in the order of the file. A `DatasetError` names every problem and its place. Memory does not grow with
the file.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
from contextlib import closing, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import DatasetError, Problem, UsageError
from profiler.dataset.duplicates import Duplicates, Suspects
from profiler.dataset.fields import renaming
from profiler.dataset.formats import Reporter, csv_rows, json_array, json_lines, tsv_rows
from profiler.dataset.met_keys import MetKeys
from profiler.dataset.parquet import parquet_rows
from profiler.dataset.selection import ALL, Selection, chosen, drawn, expect_ids
from profiler.dataset.unchanged import Remembered, as_path, reading_file, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from collections.abc import Set as AbstractSet
    from os import PathLike

    from profiler.core.nouns import Dialogue
    from profiler.dataset.fields import FieldNames, Renaming
    from profiler.dataset.formats import Item, Report

KEPT_PROBLEMS = 1_000
_BUFFER = 1 << 18
_BOM = b"\xef\xbb\xbf"
_STREAMED: dict[str, Callable[..., Iterator[Item]]] = {
    ".json": json_array,
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".csv": csv_rows,
    ".tsv": tsv_rows,
}
_PARQUET = ".parquet"


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a dataset without faults: how many dialogues were checked, and the hash of the whole file.

    `absent` are those of the keys by which answers are judged that no dialogue has; `own_keys` are some of the unknown
    keys, among which a mistyped one may be. `blocks`: some message has content blocks. `toolless` is the first dialogue
    whose `request` has no tools; `formats`: some `request` has an output format. `remarks` say what was understood in another way than it is written.
    """

    count: int
    sha256: str
    size: int
    absent: tuple[str, ...] = ()
    own_keys: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    blocks: bool = False
    toolless: str | None = None
    formats: bool = False


@contextmanager
def reading(
    path: str | PathLike[str], *, start: int = 0, fields: FieldNames | None = None, selection: Selection = ALL
) -> Iterator[Iterator[Dialogue]]:
    """Like `read`, as a context manager: the file is closed at the end of the block, also when the caller stops early."""
    if start < 0:
        raise UsageError(f"start: expected 0 or more, found {start}")
    path = as_path(path)
    if selection.is_all:
        with closing(_stream(path, start=start, report=refuse, fields=fields)) as items:
            yield _dialogues(items)
        return
    belongs = _draws.of(
        path, lambda: drawn(read(path, fields=fields), selection), asked=(selection, repr(fields or None))
    )
    with closing(_stream(path, report=refuse, fields=fields)) as items:
        yield itertools.islice(chosen(_dialogues(items), selection, belongs=belongs), start, None)


def read(path: str | PathLike[str], *, start: int = 0, fields: FieldNames | None = None) -> Iterator[Dialogue]:
    """The dialogues from number `start` on. Raises DatasetError at the first that is wrong.

    `fields` is what a manifest says in `dataset_fields`.
    """
    if start < 0:
        raise UsageError(f"start: expected 0 or more, found {start}")
    return _dialogues(_stream(as_path(path), start=start, report=refuse, fields=fields))


def lines_of(path: Path, ids: AbstractSet[str], *, fields: FieldNames | None = None) -> dict[str, int]:
    """The lines of the dialogues with these ids."""
    with closing(_stream(path, report=_ignore, fields=fields)) as items:
        return {found.dialogue_id: line for line, found in items if found is not None and found.dialogue_id in ids}


def _dialogues(items: Iterator[Item]) -> Iterator[Dialogue]:
    # An item's dialogue is None for a wrong row; here it never is, because `refuse` raises first.
    return map(itemgetter(1), items)


_surveys: Remembered[Survey] = Remembered()
_draws: Remembered[Callable[[Dialogue], bool]] = Remembered()


def survey(path: str | PathLike[str], *, fields: FieldNames | None = None, selection: Selection = ALL) -> Survey:
    """Read the file once: check every dialogue (or the first so many) and find every duplicate id.

    Where only some are selected, all are checked, and those are counted that will be asked.

    The result is remembered while the file stays as it is, because the experiments of a manifest often share a dataset.
    """
    path = as_path(path)
    about = repr(fields or None)
    if selection.is_all:
        limit = selection.limit
        return _surveys.of(path, lambda: _survey(path, limit=limit, fields=fields), asked=(limit, about))
    return _surveys.of(path, lambda: _survey_of(path, selection, fields=fields), asked=(selection, about))


def is_surveyed(path: Path, *, fields: FieldNames | None = None, selection: Selection = ALL) -> bool:
    """Whether `survey` has its answer ready."""
    asked = selection.limit if selection.is_all else selection
    return _surveys.knows(path, asked=(asked, repr(fields or None)))


def _survey_of(path: Path, selection: Selection, *, fields: FieldNames | None) -> Survey:
    whole = survey(path, fields=fields)
    if selection.ids:
        expect_ids(read(path, fields=fields), selection)
    judged, count = MetKeys(), 0
    with reading(path, fields=fields, selection=selection) as dialogues:
        for dialogue in dialogues:
            count += 1
            judged.look(dialogue)
    if not count:
        hint = f"the tags must all be there, found {' and '.join(selection.tags)}" if selection.tags else None
        raise UsageError(f"{path}: none of its {whole.count:,} dialogues is selected", hint=hint)
    return msgspec.structs.replace(whole, count=count, **judged.survey_fields())


def _survey(path: Path, *, limit: int | None, fields: FieldNames | None) -> Survey:
    found = _Found(path)
    renamed = renaming(fields)
    with reading_file(path, report=found), _HashedFile(path) as file, Duplicates() as duplicates:
        # kept in a name: a reader that is collected closes the file, and the hash is not whole yet
        stream = io.BufferedReader(file, _BUFFER)
        judged = MetKeys()
        remarks: list[Problem] = []
        items = _items(stream, path, report=found, remark=remarks.append, renamed=renamed)
        count = _check(items, limit=limit, duplicates=duplicates, judged=judged)
        suspects = duplicates.suspects()
        if suspects.repeats:
            _name_duplicates(_stream(path, report=_ignore, fields=fields), path, suspects, limit=limit, found=found)
        if not count and not found.count:
            found(Problem(path=str(path), message="the dataset is empty, expected at least one dialogue"))
        if renamed is not None and limit is None and not found.count:
            for fault in renamed.never_met():
                found(Problem(path=str(path), message=fault.message, hint=fault.hint))
        if not found.count:
            return Survey(
                count=count,
                sha256=file.finish(),
                size=file.tell(),
                remarks=tuple(map(str, remarks)),
                **judged.survey_fields(),
            )
    raise found.error()


class _HashedFile(io.FileIO):
    """A file that hashes what is read from it, so that the hash is of the very bytes that were checked."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._digest = hashlib.sha256()

    def readinto(self, buffer: Any) -> int:
        size = super().readinto(buffer) or 0
        self._digest.update(memoryview(buffer)[:size])
        return size

    def finish(self) -> str:
        """The hash of the whole file, including the part that was not read yet."""
        rest = bytearray(_BUFFER)
        while self.readinto(rest):
            pass
        return self._digest.hexdigest()


class _Found:
    """Counts problems, and keeps the first thousand."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: list[Problem] = []
        self.count = 0

    def __call__(self, problem: Problem) -> None:
        self.count += 1
        if len(self._kept) < KEPT_PROBLEMS:
            self._kept.append(problem)

    @property
    def full(self) -> bool:
        return len(self._kept) >= KEPT_PROBLEMS

    def error(self) -> DatasetError:
        problems = sorted(self._kept, key=lambda problem: (problem.line or 0, problem.column or 0))
        if self.count > len(problems):
            message = f"{self.count:,} problems, of which the first {len(problems):,} are listed"
            problems.insert(0, Problem(path=str(self._path), message=message))
        return DatasetError(problems)


def _ignore(problem: Problem) -> None:
    """The first pass over the file has reported this problem."""


def _check(items: Iterator[Item], *, limit: int | None, duplicates: Duplicates, judged: MetKeys) -> int:
    add, look = duplicates.add, judged.look
    count = 0
    for _, dialogue in itertools.islice(items, limit):
        count += 1
        if dialogue is not None:
            add(dialogue.dialogue_id)
            look(dialogue)
    return count


def _name_duplicates(
    items: Iterator[Item], path: Path, suspects: Suspects, *, limit: int | None, found: _Found
) -> None:
    """Read the file again to find out which ids have the repeated hashes, and where they are."""
    first: dict[str, int] = {}
    named = 0
    for line, dialogue in itertools.islice(items, limit):
        if dialogue is None or hash(dialogue.dialogue_id) not in suspects.hashes:
            continue
        name = dialogue.dialogue_id
        if (before := first.setdefault(name, line)) == line:
            continue
        found(Problem(path=str(path), line=line, message=_used_twice(name, line=line, before=before)))
        named += 1
        if found.full:
            found.count += suspects.repeats - named
            return


def _used_twice(name: str, *, line: int, before: int) -> str:
    return f"dialogue_id {name!r} at line {line} was already used at line {before}"


def _stream(path: Path, *, report: Report, start: int = 0, fields: FieldNames | None = None) -> Generator[Item]:
    with reading_file(path, report=report), io.BufferedReader(io.FileIO(path), _BUFFER) as stream:
        yield from _items(stream, path, report=report, start=start, renamed=renaming(fields))


def _items(
    stream: io.BufferedReader[Any],
    path: Path,
    *,
    report: Report,
    remark: Report | None = None,
    start: int = 0,
    renamed: Renaming | None = None,
) -> Iterator[Item]:
    reporter = Reporter(str(path), report, remark, renaming=renamed)
    suffix = path.suffix.lower()
    if suffix == _PARQUET:
        return parquet_rows(path, start=start, report=reporter)
    if suffix == ".gz":
        suffix = Path(path.stem).suffix.lower()
        # GzipFile finds lines in Python, which is slow; a BufferedReader around it does so in C.
        stream = io.BufferedReader(gzip.GzipFile(fileobj=stream), _BUFFER)
    rows = _STREAMED.get(suffix)
    if rows is None:
        expected = ", ".join([*_STREAMED, _PARQUET])
        raise DatasetError([Problem(path=str(path), message=f"unknown kind of file {suffix!r}, expected {expected}")])
    _skip_bom(stream)
    return rows(stream, start=start, report=reporter)


def _skip_bom(stream: io.BufferedReader[Any]) -> None:
    if stream.peek(len(_BOM)).startswith(_BOM):
        stream.read(len(_BOM))
