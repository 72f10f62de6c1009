"""How rows are written down: units, amounts, names of categories, and the month in which a unit changed.

`write` and `values` turn `Rows` into columns; `rows` reads them back from a frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from task_kit.leakage_modeling.worlds.columns import AMOUNTS, CYCLIC, GENERATED_FROM, GROUPED_FROM
from task_kit.leakage_modeling.worlds.law import LOW_VALUES, NUMERIC, SHAPES, Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from pandas.api.extensions import ExtensionArray

    from task_kit.leakage_modeling.worlds.columns import Columns
    from task_kit.leakage_modeling.worlds.law import Floats, Ints

MONTHS = 24
SERVED_FROM = 19  # first month of the rows to be scored
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

    def write(self, numeric: Floats, *, months: Ints) -> Floats:
        """Numeric columns as they stand in the table."""
        written = self.centre + self.unit * numeric
        for amount in self.amounts:
            written[:, amount] = np.exp(written[:, amount])
        if self.cents is not None:
            written[:, self.cents] *= self._factor(months)
        if self.columns.cycle is not None:
            written[:, CYCLIC] = np.rint(written[:, CYCLIC])
        return written

    def read(self, written: Floats, *, months: Ints) -> Floats:
        """The inverse of `write`, as far as that can be."""
        found = written.copy()
        if self.cents is not None:
            found[:, self.cents] /= self._factor(months)
        for amount in self.amounts:
            found[:, amount] = np.log(found[:, amount])
        read: Floats = (found - self.centre) / self.unit
        return read

    def values(self, rows: Rows, *, written: Floats, months: Ints, groups: Ints) -> dict[str, Any]:
        """The columns of features by name; `written` is the result of `write`."""
        columns = self.columns
        values: dict[str, Any] = {name: written[:, i] for i, name in enumerate(columns.numeric)}
        values[columns.low] = _texts(self.low_names, rows.low)
        values[columns.high] = _texts(self.high_names, rows.high)
        if columns.group is not None:
            known, places = np.unique(groups, return_inverse=True)
            values[columns.group] = _texts([f"g{group:05d}" for group in known], places)
        if columns.month is not None:
            values[columns.month] = months
        return values

    def rows(self, frame: pd.DataFrame) -> Rows:
        columns = self.columns
        months = np.zeros(len(frame), dtype=np.int64) if columns.month is None else frame[columns.month].to_numpy()
        return Rows(
            numeric=self.read(frame[list(columns.numeric)].to_numpy(dtype=np.float64), months=months),
            low=_numbers(frame[columns.low], self.low_names),
            high=_numbers(frame[columns.high], self.high_names),
        )

    def _factor(self, months: Ints) -> Floats:
        return np.where(months < self.euros_from, CENTS, 1.0)


def draw_recording(draw: Generator, *, columns: Columns, difficulty: int, cents: int) -> Recording:
    generated = difficulty >= GENERATED_FROM
    amounts = AMOUNTS if generated else ()
    centre = draw.uniform(5, 60, NUMERIC).round(1) if generated else np.zeros(NUMERIC)
    unit = draw.uniform(2, 15, NUMERIC).round(1) if generated else np.ones(NUMERIC)
    for amount in amounts:
        centre[amount], unit[amount] = draw.uniform(6, 9), draw.uniform(0.5, 0.8)
    if columns.cycle is not None:
        centre[CYCLIC], unit[CYCLIC] = columns.cycle.centre, columns.cycle.unit
    return Recording(
        columns=columns,
        centre=centre,
        unit=unit,
        amounts=amounts,
        low_names=tuple("ABCDEF"[:LOW_VALUES]),
        high_names=_high_names(draw, SHAPES[difficulty].high_values, generated=generated),
        cents=cents if difficulty >= GROUPED_FROM else None,
        euros_from=int(draw.integers(8, 12)),
    )


def _high_names(draw: Generator, n: int, *, generated: bool) -> tuple[str, ...]:
    if not generated:
        return tuple("WXYZ"[:n])
    return tuple(f"{number}" for number in draw.choice(np.arange(1000, 10_000), size=n, replace=False))


def _texts(names: Sequence[str], places: Ints) -> ExtensionArray:
    return pd.array(np.array(names, dtype=object).take(places), dtype="str")


def _numbers(names: pd.Series, known: tuple[str, ...]) -> Ints:
    return pd.Index(known).get_indexer(pd.Index(names)).astype(np.int64)
