"""How a row is written down: units, amounts, names of categories, and the month in which a unit changed.

Comes in: `Rows` and months. Goes out: a frame of features, and `Rows` again from such a frame. Knows nothing of labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from task_kit.leakage_modeling.columns import AMOUNTS, GROUPED_FROM, NEUTRAL_FROM
from task_kit.leakage_modeling.law import LOW_VALUES, NUMERIC, SHAPES, Rows

if TYPE_CHECKING:
    from numpy.random import Generator

    from task_kit.leakage_modeling.columns import Columns
    from task_kit.leakage_modeling.law import Floats, Ints

MONTHS = 24
SERVED_FROM = 19  # the first month of the rows to be scored
CENTS = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    columns: Columns
    centre: Floats  # by numeric column; of the logarithm where the column is an amount
    unit: Floats
    amounts: tuple[int, ...]
    low_names: tuple[str, ...]
    high_names: tuple[str, ...]
    cents: int | None  # the amount that was written down in cents …
    euros_from: int  # … before this month

    def frame(self, rows: Rows, *, months: Ints, groups: Ints) -> pd.DataFrame:
        columns = self.columns
        written = self.centre + self.unit * rows.numeric
        for amount in self.amounts:
            written[:, amount] = np.exp(written[:, amount])
        if self.cents is not None:
            written[:, self.cents] *= self._factor(months)
        values: dict[str, object] = {name: written[:, i] for i, name in enumerate(columns.numeric)}
        values[columns.low] = np.array(self.low_names)[rows.low]
        values[columns.high] = np.array(self.high_names)[rows.high]
        if columns.group is not None:
            values[columns.group] = [f"g{group:05d}" for group in groups]
        if columns.month is not None:
            values[columns.month] = months
        return pd.DataFrame(values)

    def rows(self, frame: pd.DataFrame) -> Rows:
        columns = self.columns
        written = frame[list(columns.numeric)].to_numpy(dtype=np.float64, copy=True)
        if self.cents is not None and columns.month is not None:
            written[:, self.cents] /= self._factor(frame[columns.month].to_numpy())
        for amount in self.amounts:
            written[:, amount] = np.log(written[:, amount])
        return Rows(
            numeric=(written - self.centre) / self.unit,
            low=_numbers(frame[columns.low], self.low_names),
            high=_numbers(frame[columns.high], self.high_names),
        )

    def _factor(self, months: Ints) -> Floats:
        return np.where(months < self.euros_from, CENTS, 1.0)


def draw_recording(draw: Generator, *, columns: Columns, difficulty: int, cents: int) -> Recording:
    neutral = difficulty >= NEUTRAL_FROM
    amounts = AMOUNTS if neutral else ()
    centre = draw.uniform(5, 60, NUMERIC).round(1) if neutral else np.zeros(NUMERIC)
    unit = draw.uniform(2, 15, NUMERIC).round(1) if neutral else np.ones(NUMERIC)
    for amount in amounts:
        centre[amount], unit[amount] = draw.uniform(6, 9), draw.uniform(0.5, 0.8)
    return Recording(
        columns=columns,
        centre=centre,
        unit=unit,
        amounts=amounts,
        low_names=tuple("ABCDEF"[:LOW_VALUES]),
        high_names=_high_names(draw, SHAPES[difficulty].high_values, neutral=neutral),
        cents=cents if difficulty >= GROUPED_FROM else None,
        euros_from=int(draw.integers(8, 12)),
    )


def _high_names(draw: Generator, n: int, *, neutral: bool) -> tuple[str, ...]:
    if not neutral:
        return tuple("WXYZ"[:n])
    return tuple(f"{number}" for number in draw.choice(np.arange(1000, 10_000), size=n, replace=False))


def _numbers(names: pd.Series, known: tuple[str, ...]) -> Ints:
    return pd.Index(known).get_indexer(pd.Index(names)).astype(np.int64)
