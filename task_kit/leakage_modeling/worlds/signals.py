"""Signals: columns that reveal something about the outcome itself, and how much each value reveals.

A signal that is known in time and one that is written down too late are drawn in the same way and are equally strong,
so no statistic of the training rows tells them apart: only the data dictionary does.

Behind every signal is a normal value whose mean depends on the outcome. It is written down as an index, an amount, a
count, a share, a flag or a grade; the evidence of what is written follows exactly, in nats of log-odds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
from scipy.special import expit, log_ndtr, logit, ndtr

if TYPE_CHECKING:
    from numpy.random import Generator

    from task_kit.leakage_modeling.worlds.law import Floats, Ints

Kind = Literal["index", "amount", "count", "share", "flag", "grade"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# How far apart the means of the two outcomes lie, in standard deviations. Rounding to few values loses information, so
# the means of those kinds lie farther apart. Each kind then reveals 0.174 nats about the outcome.
STRENGTH: dict[Kind, float] = {
    "index": 1.3,
    "amount": 1.3,
    "share": 1.3,
    "count": 1.319,
    "grade": 1.372,
    "flag": 1.593,
}
CUTS: dict[Kind, tuple[float, ...]] = {
    "count": (-1.6, -1.0, -0.5, 0.0, 0.5, 1.0, 1.6),
    "grade": (-0.9, 0.0, 0.9),
    "flag": (0.0,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One column. `known`: its values are there at the time of prediction; otherwise they come too late."""

    name: str
    kind: Kind
    known: bool
    sign: float
    centre: float
    unit: float
    grades: tuple[str, ...] = ()

    def draw(self, draw: Generator, outcome: Ints) -> Floats:
        """The values behind the column."""
        apart = self.sign * STRENGTH[self.kind]
        return apart * (np.asarray(outcome, dtype=np.float64) - 0.5) + draw.standard_normal(len(outcome))

    def written(self, behind: Floats) -> object:
        """The values as they stand in the table."""
        if self.kind in CUTS:
            place = np.searchsorted(CUTS[self.kind], behind)
            if self.kind == "grade":
                return pd.array(np.array(self.grades, dtype=object).take(place), dtype="str")
            return place.astype(np.int64)
        match self.kind:
            case "amount":
                return np.exp(self.centre + self.unit * behind)
            case "share":
                return expit(self.centre + self.unit * behind)
            case _:
                return self.centre + self.unit * behind

    def evidence(self, column: pd.Series) -> Floats:
        """log P(value | outcome) - log P(value | no outcome) for each row; 0 for a value that the column cannot have."""
        apart = self.sign * STRENGTH[self.kind]
        if self.kind not in CUTS:
            return apart * (self._read(column.to_numpy(dtype=np.float64)) - self.centre) / self.unit
        table = _table(self.kind, apart)
        if self.kind == "grade":
            place = pd.Index(self.grades).get_indexer(pd.Index(column))
        else:
            place = column.to_numpy(dtype=np.float64).astype(np.int64)
        inside = (place >= 0) & (place < len(table))
        return np.where(inside, table[np.where(inside, place, 0)], 0.0)

    def _read(self, values: Floats) -> Floats:
        match self.kind:
            case "amount":
                return np.asarray(np.log(values))
            case "share":
                return np.asarray(logit(values))
            case _:
                return values


def draw_signal(draw: Generator, *, name: str, kind: Kind, known: bool) -> Signal:
    centre, unit = round(float(draw.uniform(5, 60)), 1), round(float(draw.uniform(2, 15)), 1)
    if kind == "amount":
        centre, unit = float(draw.uniform(3, 9)), float(draw.uniform(0.5, 0.8))
    if kind == "share":
        centre, unit = float(draw.uniform(-1.5, 0.5)), float(draw.uniform(0.4, 0.7))
    grades = [f"{letter}{number}" for letter, number in zip("KLMN", draw.integers(10, 100, size=4), strict=True)]
    return Signal(
        name=name,
        kind=kind,
        known=known,
        sign=float(draw.choice([-1.0, 1.0])),
        centre=centre,
        unit=unit,
        grades=tuple(str(grade) for grade in draw.permutation(grades)) if kind == "grade" else (),
    )


def _table(kind: Kind, apart: float) -> Floats:
    """The evidence of each value of a kind that has few."""
    edges = np.array([-np.inf, *CUTS[kind], np.inf])
    return _log_share(edges - apart / 2) - _log_share(edges + apart / 2)


def _log_share(edges: Floats) -> Floats:
    """The logarithm of the probability that a normal value lies between neighbouring edges."""
    inner = np.log(np.diff(ndtr(edges)))
    inner[0], inner[-1] = log_ndtr(edges[1]), log_ndtr(-edges[-2])
    return np.asarray(inner)
