"""What a fitted pipeline is asked: every frame the checks need, in an order it cannot foresee.

Comes in: a world and its sealed seed. Goes out: named frames, and the answers put back under their names. Knows nothing of
what the answers should be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.random import Generator

    from task_kit.leakage_modeling.worlds.world import World

PROBED = 300  # hidden rows whose leaks are overwritten
SINGLES = 4
CHUNK = 97
REWRITES = ("random", "permuted", "opposite")

HIDDEN, PROBE, REWRITTEN, TEST, LEGACY, REVERSED = "hidden", "probe", "rewritten", "test", "legacy", "reversed"
AS_IT_WAS, AGAIN = "as it was", "again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    frames: dict[str, pd.DataFrame]
    order: tuple[str, ...]
    chunks: dict[str, slice]  # the rows of `hidden` that some frames repeat
    probed: np.ndarray  # the rows of `hidden` in `probe`
    rewritten: dict[str, np.ndarray]  # where in the frame `rewritten` the probed rows stand, by what was done to them

    @property
    def asked(self) -> list[pd.DataFrame]:
        return [self.frames[name] for name in self.order]

    def answers(self, found: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self.order, found, strict=True))


def rewrite_name(column: str, how: str) -> str:
    return f"{column}: {how}"


def make_questions(world: World, draw: Generator, *, leaky_view: bool) -> Questions:
    """`leaky_view`: ask about the original's test rows too, whose signal is made from their labels."""
    hidden = world.hidden
    probed = draw.choice(len(hidden), size=min(PROBED, len(hidden)), replace=False)
    probe = hidden.iloc[probed].reset_index(drop=True)
    chunks = dict(_chunks(len(hidden), draw))
    rewritten, places = _rewritten(world, probe, draw)
    frames = {
        HIDDEN: hidden,
        PROBE: probe,
        REWRITTEN: rewritten,
        TEST: world.test,
        **({LEGACY: world.legacy_test} if leaky_view else {}),
        REVERSED: hidden.iloc[:CHUNK][::-1].reset_index(drop=True),
        **{name: hidden.iloc[rows].reset_index(drop=True) for name, rows in chunks.items()},
    }
    order = tuple(str(name) for name in draw.permutation(list(frames)))
    return Questions(frames=frames, order=order, chunks=chunks, probed=probed, rewritten=places)


def _chunks(rows: int, draw: Generator) -> Iterator[tuple[str, slice]]:
    for row in draw.choice(rows, size=SINGLES, replace=False):
        yield f"row {row}", slice(int(row), int(row) + 1)
    first = int(draw.integers(rows - CHUNK))
    yield "chunk", slice(first, first + CHUNK)


def _rewritten(world: World, probe: pd.DataFrame, draw: Generator) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The probed rows twice as they were, and once for each way of overwriting each forbidden column.

    All in one shuffled frame, so that what a pipeline makes of its neighbours is the same for a row and its rewritten twin.
    """
    names = [AS_IT_WAS, AGAIN, *(rewrite_name(column, how) for column in world.leak_columns for how in REWRITES)]
    values = {column: np.tile(probe[column].to_numpy(), (len(names), 1)) for column in world.leak_columns}
    for column, by_part in values.items():
        was, like = by_part[0].copy(), world.train[column].to_numpy()
        for how in REWRITES:
            by_part[names.index(rewrite_name(column, how))] = _other_values(was, like=like, how=how, draw=draw)
    order = draw.permutation(len(names) * len(probe))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    frame = probe.take(order % len(probe)).reset_index(drop=True)
    frame = frame.assign(**{column: by_part.ravel()[order] for column, by_part in values.items()})
    return frame, dict(zip(names, place.reshape(len(names), -1), strict=True))


def _other_values(values: np.ndarray, *, like: np.ndarray, how: str, draw: Generator) -> np.ndarray:
    """Values a row could as well have carried. A constant column, which has no others, gets other rates."""
    low, high = (like.min(), like.max()) if np.ptp(like) > 0 else (0.0, 1.0)
    match how:
        case "random":
            return draw.uniform(low, high, size=len(values))
        case "permuted":
            return draw.permutation(values)
        case _:
            return low + high - values
