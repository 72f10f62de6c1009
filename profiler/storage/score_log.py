"""scores.jsonl: the score of every item, written while a complete run is reduced, and read back.

A reader of the scores needs no second implementation of a metric. The file is made beside its name and renamed when it
is whole; of a run that has none (an older format, or one that is unfinished) the scores are worked out on the way.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import lru_cache
from itertools import count, islice, repeat
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from profiler.core.errors import StorageError
from profiler.core.json import encode, encode_lines
from profiler.metrics.scores import Scorer
from profiler.storage.names import SCORES
from profiler.storage.whole_file import draft_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from profiler.core.nouns import Outcome
    from profiler.metrics.alike import Alike
    from profiler.metrics.metric import Metric, Score

BATCH: Final = 256  # outcomes that are scored at once
WRITE_BUFFER: Final = 1 << 20


class ScoreLog:
    """The scores of one run in the making. `faults` tells, a sentence a metric, where no score could be had."""

    def __init__(self, folder: Path, metrics: Sequence[Metric[Any]], *, first: int = 0) -> None:
        self.path = folder / SCORES
        self._draft = draft_of(self.path)
        self._scorer = Scorer(metrics)
        self._index = count(first)
        self._file = self._open()

    def note(
        self,
        batch: Sequence[Outcome],
        contributions: Sequence[Sequence[Any] | None],
        alike: Sequence[Alike],
    ) -> None:
        """Write the scores of outcomes that are being reduced, and of which it is known what they contribute.

        Most contribute what an earlier one did, so the JSON of their scores is there already.
        """
        scores: Iterable[msgspec.Struct | msgspec.Raw]
        if self._scorer.all_follow and None not in contributions:
            scores = [each.scores or self._scores_of(each) for each in alike]
        else:
            scores = _structs(self._scorer.columns(batch, contributions), self._scorer.names)
        try:
            self._file.write(encode_lines(_lines(batch, scores, index=self._index)))
        except OSError as error:
            raise StorageError(self.path, error) from error

    def _scores_of(self, alike: Alike) -> msgspec.Raw:
        scores = _scores_of(self._scorer.names)(*self._scorer.following(alike.states))
        alike.scores = found = msgspec.Raw(encode(scores))
        return found

    def _open(self) -> IO[bytes]:
        try:
            return self._draft.open("wb", buffering=WRITE_BUFFER)
        except OSError as error:
            raise StorageError(self.path, error) from error

    @property
    def faults(self) -> dict[str, str]:
        return self._scorer.faults

    def finish(self) -> None:
        """All items have been scored: the draft is complete, and can be published."""
        try:
            self._file.close()
        except OSError as error:
            raise StorageError(self.path, error) from error

    def drop(self) -> None:
        """Remove the draft; an older scores.jsonl stays as it is."""
        with suppress(OSError):  # what could not be written is of no use
            self._file.close()
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)


def publish(folder: Path, *, sync: bool = True) -> None:
    """Force the scores that were drafted here, if any, to the device, and give them their name; without `sync` the latter only.

    That name itself is durable with the next one in the folder, which is that of the summary.
    """
    path = folder / SCORES
    try:
        file = os.open(draft_of(path), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(path, error) from error
    try:
        if sync:
            os.fsync(file)
        draft_of(path).replace(path)
    except OSError as error:
        raise StorageError(path, error) from error
    finally:
        os.close(file)


def worked_out(outcomes: Iterable[Outcome], metrics: Sequence[Metric[Any]]) -> Iterator[dict[str, Any]]:
    """The lines of scores.jsonl, computed from the outcomes instead of read from the file."""
    scorer, index, remaining = Scorer(metrics), count(), iter(outcomes)
    while batch := list(islice(remaining, BATCH)):
        scores = _structs(scorer.columns(batch), scorer.names)
        yield from msgspec.to_builtins(_lines(batch, scores, index=index))


class _Line(msgspec.Struct, gc=False, omit_defaults=True):
    dialogue_id: str
    index: int
    scores: msgspec.Struct | msgspec.Raw
    repeat: int | None = None


@lru_cache(maxsize=64)
def _scores_of(names: tuple[str, ...]) -> type[msgspec.Struct]:
    """Structs are made and encoded in a third of the time that dictionaries take. Names of metrics need not be names of
    Python's, so the fields are numbered and renamed. The experiments of a manifest mostly have the same metrics."""
    fields = [f"score_{number}" for number in range(len(names))]
    return msgspec.defstruct("Scores", fields, rename=dict(zip(fields, names, strict=True)), gc=False)


def _structs(columns: Sequence[Sequence[Score]], names: tuple[str, ...]) -> Iterable[msgspec.Struct]:
    scores_of = _scores_of(names)
    return map(scores_of, *columns) if columns else repeat(scores_of())


def _lines(
    batch: Sequence[Outcome], scores: Iterable[msgspec.Struct | msgspec.Raw], *, index: Iterator[int]
) -> list[_Line]:
    ids = [outcome.dialogue_id for outcome in batch]
    # Without repeats, which is usual, no column of them is made.
    repeats = [] if batch[0].repeat is None else [[outcome.repeat for outcome in batch]]
    return list(map(_Line, ids, index, scores, *repeats))
