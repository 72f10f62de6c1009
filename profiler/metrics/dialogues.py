"""Puts together what the answers to one dialogue contribute, where dialogues are asked several times."""

from __future__ import annotations

from collections import Counter
from itertools import groupby, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from profiler.core.nouns import Outcome

Contributions = tuple[Any, ...]  # of one answer, one for each metric
Dialogue = tuple[tuple[str, ...], tuple[Contributions, ...]]  # its tags, and what each of its answers contributes


class Dialogues:
    """Collects dialogues from batches of answers. Those to one dialogue stand side by side; the last of a batch is kept
    back, for it may go on in the next."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._tags: tuple[str, ...] = ()
        self._answers: list[Contributions] = []

    def add(self, batch: Sequence[Outcome], columns: Sequence[Sequence[Any]]) -> Iterable[tuple[Dialogue, int]]:
        """The dialogues that have ended with this batch; alike ones together, with their number."""
        ended = list(self._ended(batch, columns))
        try:
            return Counter(ended).items()
        except TypeError:  # the state of a user's metric cannot be hashed
            return [(each, 1) for each in ended]

    def _ended(self, batch: Sequence[Outcome], columns: Sequence[Sequence[Any]]) -> Iterator[Dialogue]:
        rows = zip(*columns, strict=True) if columns else repeat(())
        ids = [outcome.dialogue_id for outcome in batch]
        places = zip(ids, batch, rows, strict=False)
        for name, answers in groupby(places, key=itemgetter(0)):
            if name != self._id:
                yield from self.end()
                self._id = name
            for _, outcome, contributions in answers:
                self._tags = outcome.tags
                self._answers.append(contributions)

    def end(self) -> Iterator[Dialogue]:
        """The last dialogue, when nothing follows."""
        if self._answers:
            yield self._tags, tuple(self._answers)
        self._id, self._answers = None, []
