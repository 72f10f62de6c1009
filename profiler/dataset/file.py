"""A dataset file: survey it once, before anything is sent, then read it as a stream.

Comes in: the path of a .json, .jsonl, .ndjson, .csv (each also as .gz) or .parquet file. Goes out: dialogues
in the order of the file; or a DatasetError with every problem and its place. Memory does not grow with the
file. Knows nothing of models, requests or runs.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import stat
import zlib
from contextlib import closing, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import DatasetError, Problem, UsageError
from profiler.dataset.duplicates import Duplicates, Suspects
from profiler.dataset.formats import Reporter, csv_rows, json_array, json_lines, parquet_rows

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from os import PathLike

    from profiler.core.nouns import Dialogue
    from profiler.dataset.formats import Item, Report

Stamp = tuple[int, int, int]

KEPT_PROBLEMS = 1_000
_BUFFER = 1 << 18
_BOM = b"\xef\xbb\xbf"
_STREAMED = {".json": json_array, ".jsonl": json_lines, ".ndjson": json_lines, ".csv": csv_rows}
_PARQUET = ".parquet"


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset in which nothing is wrong: how many dialogues were checked, and what the whole file is."""

    count: int
    sha256: str
    size: int


@contextmanager
def reading(path: str | PathLike[str], *, start: int = 0) -> Iterator[Iterator[Dialogue]]:
    """`read` for who may stop before the end: the file is closed then, and not when the collector comes by."""
    if start < 0:
        raise UsageError(f"start: expected 0 or more, found {start}")
    with closing(_stream(Path(path), start=start, report=_refuse)) as items:
        yield _dialogues(items)


def read(path: str | PathLike[str], *, start: int = 0) -> Iterator[Dialogue]:
    """The dialogues from number `start` on. Raises DatasetError at the first one that is wrong."""
    if start < 0:
        raise UsageError(f"start: expected 0 or more, found {start}")
    return _dialogues(_stream(Path(path), start=start, report=_refuse))


def _dialogues(items: Iterator[Item]) -> Iterator[Dialogue]:
    # None stands for a wrong row, and `_refuse` has raised before one is handed out.
    return map(itemgetter(1), items)


def survey(path: str | PathLike[str], *, limit: int | None = None) -> Survey:
    """One pass over the file: every dialogue (or the first `limit`) checked, every duplicate id found."""
    path = Path(path)
    found = _Found(path)
    with _reading(path, report=found), _HashedFile(path) as file, Duplicates() as duplicates:
        stream = io.BufferedReader(file, _BUFFER)  # named, or it would close the file before the hash is whole
        count = _check(_items(stream, path, report=found), limit=limit, duplicates=duplicates)
        suspects = duplicates.suspects()
        if suspects.repeats:
            _name_duplicates(path, suspects, limit=limit, found=found)
        if not count and not found.count:
            found(Problem(path=str(path), message="the dataset is empty, expected at least one dialogue"))
        if not found.count:
            return Survey(count=count, sha256=file.finish(), size=file.tell())
    raise found.error()


def fingerprint(path: str | PathLike[str]) -> str:
    """The hash that `survey` gives, without a look at the dialogues."""
    path = Path(path)
    with _reading(path, report=_refuse), path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    raise AssertionError("_refuse raises")


def stamp(path: str | PathLike[str]) -> Stamp:
    """Another one whenever the file was written or replaced, as far as the system tells."""
    path = Path(path)
    with _reading(path, report=_refuse):
        found = path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns
    raise AssertionError("_refuse raises")


def expect_unchanged(path: Path, *, since: Stamp, sha256: str) -> None:
    """That the file is the one that was checked; to have touched it changes nothing."""
    if stamp(path) != since and fingerprint(path) != sha256:
        hint = "start over with --fresh: dialogues may have been asked in other words, which requests.jsonl shows"
        raise DatasetError([Problem(path=str(path), message="the file changed during the run", hint=hint)])


def expect_unwritten(path: Path, *, since: Stamp, sha256: str) -> None:
    """The same of a file that was read meanwhile: whoever removed it or put another in its place left the bytes that
    were open."""
    if path.exists() and stamp(path)[0] == since[0]:
        expect_unchanged(path, since=since, sha256=sha256)


class _HashedFile(io.FileIO):
    """Hashes what passes, so that the hash is of the very bytes that were checked."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._digest = hashlib.sha256()

    def readinto(self, buffer: Any) -> int:
        size = super().readinto(buffer) or 0
        self._digest.update(memoryview(buffer)[:size])
        return size

    def finish(self) -> str:
        """The hash of the whole file, also of what nobody asked to read."""
        rest = bytearray(_BUFFER)
        while self.readinto(rest):
            pass
        return self._digest.hexdigest()


class _Found:
    """Every problem counted, the first thousand kept."""

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


def _refuse(problem: Problem) -> None:
    raise DatasetError([problem])


def _ignore(problem: Problem) -> None:
    """Told before."""


def _check(items: Iterator[Item], *, limit: int | None, duplicates: Duplicates) -> int:
    add = duplicates.add
    count = 0
    for _, dialogue in itertools.islice(items, limit):
        count += 1
        if dialogue is not None:
            add(dialogue.dialogue_id)
    return count


def _name_duplicates(path: Path, suspects: Suspects, *, limit: int | None, found: _Found) -> None:
    """A second look at the file: which ids were behind the repeated hashes, and where."""
    first: dict[str, int] = {}
    named = 0
    for line, dialogue in itertools.islice(_stream(path, report=_ignore), limit):
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


def _stream(path: Path, *, report: Report, start: int = 0) -> Generator[Item]:
    with _reading(path, report=report), io.BufferedReader(io.FileIO(path), _BUFFER) as stream:
        yield from _items(stream, path, report=report, start=start)


def _items(stream: io.BufferedReader[Any], path: Path, *, report: Report, start: int = 0) -> Iterator[Item]:
    reporter = Reporter(str(path), report)
    suffix = path.suffix.lower()
    if suffix == _PARQUET:
        return parquet_rows(path, start=start, report=reporter)
    if suffix == ".gz":
        suffix = Path(path.stem).suffix.lower()
        # GzipFile reads lines in Python; a BufferedReader around it does so in C.
        stream = io.BufferedReader(gzip.GzipFile(fileobj=stream), _BUFFER)
    rows = _STREAMED.get(suffix)
    if rows is None:
        expected = ", ".join([*_STREAMED, _PARQUET])
        raise DatasetError([Problem(path=str(path), message=f"unknown kind of file {suffix!r}, expected {expected}")])
    _skip_bom(stream)
    return rows(stream, start=start, report=reporter)


def _expect_regular(path: Path) -> None:
    """Before it is opened: to open a pipe is to wait for somebody who writes."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError) as error:
        raise DatasetError([_unreadable(path, error)]) from error
    if not regular:
        raise DatasetError([_unreadable(path, "not a regular file, and a dataset is read more than once")])


def _unreadable(path: Path, error: object) -> Problem:
    return Problem(path=str(path), message=f"cannot be read: {getattr(error, 'strerror', None) or error}")


def _skip_bom(stream: io.BufferedReader[Any]) -> None:
    if stream.peek(len(_BOM)).startswith(_BOM):
        stream.read(len(_BOM))


@contextmanager
def _reading(path: Path, *, report: Report) -> Iterator[None]:
    """For a regular file only; translates what the operating system and gzip say about it."""
    _expect_regular(path)
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        report(_unreadable(path, error))
