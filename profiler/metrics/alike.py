"""Finds the outcomes that contribute the same to all metrics. Most do, so what follows from it is worked out once for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.metrics.counted import States

LIMIT: Final = 2048  # different ones that are remembered


class Alike:
    """Stands for the outcomes that contribute these states. Its hash is that of the object: the states, which are slow to
    hash, have been hashed when it was found. `scores` belongs to whoever notes the scores."""

    __slots__ = ("scores", "states")

    def __init__(self, states: States) -> None:
        self.states = states
        self.scores: Any = None


class AlikeOutcomes:
    """`some_stand_alone` says that states were met that cannot be hashed, so that no two outcomes share an object."""

    def __init__(self) -> None:
        self.some_stand_alone = False
        self._known: dict[States, Alike] = {}

    def of(self, contributed: Sequence[States]) -> list[Alike]:
        """For each outcome the one object of all that contribute what it does."""
        known = self._known
        try:
            return [known[states] for states in contributed]
        except (KeyError, TypeError):  # one is new, or the states of a user's metric cannot be hashed
            if len(known) >= LIMIT:
                known.clear()
            return list(map(self._one, contributed))

    def _one(self, states: States) -> Alike:
        try:
            return self._known.get(states) or self._known.setdefault(states, Alike(states))
        except TypeError:
            self.some_stand_alone = True
            return Alike(states)
