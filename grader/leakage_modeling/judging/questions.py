"""The questions to a fitted pipeline: every frame that the checks need, in an order that it cannot foresee.

No frame holds a row twice. Of each row that is overwritten there is one other version, in another frame. So a pipeline
that sees one frame at a time cannot look up what a row said before it was overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.random import Generator

    from task_kit.leakage_modeling.worlds.world import World

OVERWRITTEN = 1800  # hidden rows, divided among the columns that leak and the ways to overwrite
KEPT = 200  # hidden rows among them that stay as they are
SINGLES = 4  # frames of a single row
CHUNK = 97  # rows of the small frames
REWRITES = ("random", "permuted", "opposite")

HIDDEN, MIXED, TEST, LEGACY, REVERSED = "hidden", "mixed", "test", "legacy", "reversed"


class Repeated(NamedTuple):
    """Rows of `hidden` that another frame repeats, and their places in it."""

    rows: np.ndarray
    places: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    frames: dict[str, pd.DataFrame]
    order: tuple[str, ...]
    chunks: dict[str, slice]  # the rows of `hidden` that some frames repeat
    kept: Repeated  # in the frame `mixed`, as they were
    overwritten: dict[str, Repeated]  # in the frame `mixed`, by the column that was overwritten

    @property
    def asked(self) -> list[pd.DataFrame]:
        return [self.frames[name] for name in self.order]

    def answers(self, found: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self.order, found, strict=True))


def make_questions(world: World, draw: Generator, *, leaky_view: bool) -> Questions:
    """Make the frames. `leaky_view`: also the original's test rows, whose signal is made from their labels."""
    hidden = world.hidden
    chunks = dict(_chunks(len(hidden), draw))
    mixed, kept, overwritten = _mixed(world, draw)
    frames = {
        HIDDEN: hidden,
        MIXED: mixed,
        TEST: world.test,
        **({LEGACY: world.legacy_test} if leaky_view else {}),
        REVERSED: hidden.iloc[:CHUNK][::-1].reset_index(drop=True),
        **{name: hidden.iloc[rows].reset_index(drop=True) for name, rows in chunks.items()},
    }
    order = tuple(str(name) for name in draw.permutation(list(frames)))
    return Questions(frames=frames, order=order, chunks=chunks, kept=kept, overwritten=overwritten)


def _chunks(rows: int, draw: Generator) -> Iterator[tuple[str, slice]]:
    for row in draw.choice(rows, size=SINGLES, replace=False):
        yield f"row {row}", slice(int(row), int(row) + 1)
    first = int(draw.integers(rows - CHUNK))
    yield "chunk", slice(first, first + CHUNK)


def _mixed(world: World, draw: Generator) -> tuple[pd.DataFrame, Repeated, dict[str, Repeated]]:
    """Hidden rows in a new order: most with one forbidden column overwritten, some unchanged."""
    hidden = world.hidden
    n = min(OVERWRITTEN, len(hidden) // 2)
    rows = draw.choice(len(hidden), size=n + min(KEPT, len(hidden) // 10), replace=False)
    frame = hidden.iloc[rows].reset_index(drop=True)
    places = draw.permutation(len(rows))
    ways = [(column, how) for column in world.leak_columns for how in REWRITES]
    shares = np.array_split(places[:n], len(ways)) if ways else []
    found: dict[str, list[np.ndarray]] = {column: [] for column in world.leak_columns}
    for column in world.leak_columns:
        values = frame[column].to_numpy(copy=True)
        for (of, how), share in zip(ways, shares, strict=True):
            if of == column:
                values[share] = other_values(values[share], like=world.train[column].to_numpy(), how=how, draw=draw)
                found[column].append(share)
        frame[column] = pd.Series(values, dtype=frame[column].dtype)
    kept = places[n:] if ways else places
    by_column = {column: np.concatenate(shares) for column, shares in found.items()}
    return (
        frame,
        Repeated(rows[kept], kept),
        {column: Repeated(rows[places], places) for column, places in by_column.items()},
    )


def other_values(values: np.ndarray, *, like: np.ndarray, how: str, draw: Generator) -> np.ndarray:
    """Values that the rows might as well have had. A constant column has no others, so it gets rates from 0 to 1."""
    if like.dtype.kind not in "iuf":
        return _other_names(values, like=like, how=how, draw=draw)
    low, high = (like.min(), like.max()) if np.ptp(like) > 0 else (0.0, 1.0)
    match how:
        case "random" if like.dtype.kind in "iu":
            return draw.integers(int(low), int(high) + 1, size=len(values))
        case "random":
            return draw.uniform(low, high, size=len(values))
        case "permuted":
            return draw.permutation(values)
        case _:
            return low + high - values


def _other_names(values: np.ndarray, *, like: np.ndarray, how: str, draw: Generator) -> np.ndarray:
    names = np.array(sorted({str(name) for name in like}), dtype=object)
    match how:
        case "random":
            return draw.choice(names, size=len(values))
        case "permuted":
            return draw.permutation(values)
        case _:
            turned = dict(zip(names, names[::-1], strict=True))
            return np.array([turned.get(name, name) for name in values], dtype=object)
