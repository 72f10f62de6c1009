"""Puts together what the answers to one dialogue contribute, where dialogues are asked several times."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.core.nouns import Outcome

Contributions = tuple[Any, ...]  # of one answer, one for each metric
Dialogue = tuple[tuple[str, ...], tuple[Contributions, ...]]  # its tags, and what each of its answers contributes


class Dialogues:
    """Collects dialogues from batches of answers. Those to one dialogue stand side by side; the last of a batch is kept
    back, for it may go on in the next."""

    def __init__(self) -> None:
        self._last: tuple[str, Dialogue] | None = None

    def add(self, batch: Sequence[Outcome], columns: Sequence[Sequence[Any]]) -> list[Dialogue]:
        """The dialogues that have ended with this batch."""
        ids = [outcome.dialogue_id for outcome in batch]
        answers = list(zip(*columns, strict=True)) if columns else [()] * len(batch)
        starts = [0, *[at for at, (one, other) in enumerate(pairwise(ids), 1) if one != other], len(batch)]
        found: list[Dialogue] = [(batch[start].tags, tuple(answers[start:end])) for start, end in pairwise(starts)]
        if self._last is not None:
            name, (tags, before) = self._last
            found[:1] = [(tags, before + found[0][1])] if name == ids[0] else [(tags, before), found[0]]
        self._last = ids[-1], found.pop()
        return found

    def end(self) -> list[Dialogue]:
        """The last dialogue, when nothing follows."""
        last, self._last = self._last, None
        return [] if last is None else [last[1]]
