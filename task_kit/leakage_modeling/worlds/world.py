"""A world: rows to learn from, rows to score, and what only the grader knows about them.

Comes in: a secret seed and the settings. Goes out: a `World`, always the same for the same two. Knows nothing of
submissions. Labels of the rows to score and the law stay with the grader; `train` and `test` alone go to a worker.

Training rows carry the leaks as somebody finds them who joins tables after the fact. Rows to score carry them as they would
be when the prediction is made: same type and marginal, but nothing of the row's own outcome, and rates from training only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit

from task_kit.leakage_modeling.worlds.columns import AMOUNTS, GROUPED_FROM, NEUTRAL_FROM, TARGET, draw_columns
from task_kit.leakage_modeling.worlds.law import ABSENT_ROLES, LOW_VALUES, NUMERIC, SHAPES, Rows, Shape, draw_law
from task_kit.leakage_modeling.worlds.recording import MONTHS, SERVED_FROM, draw_recording

if TYPE_CHECKING:
    from numpy.random import Generator

    from task_kit.leakage_modeling.worlds.columns import Columns
    from task_kit.leakage_modeling.worlds.law import Floats, Ints, Law
    from task_kit.leakage_modeling.worlds.recording import Recording
    from task_kit.leakage_modeling.worlds.settings import Settings

GROUP_SIZE = 4
SETTLING_ROWS = 8000
FUTURE_NOISE = 0.25
DRIFT = 0.6  # by how many standard deviations one column has moved when rows are scored
DRIFTING_ROLE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    columns: Columns
    outcome: str
    train: pd.DataFrame  # features, leaks, target
    test: pd.DataFrame  # features, leaks as when the prediction is made
    test_target: Ints
    test_p: Floats
    hidden: pd.DataFrame
    hidden_target: Ints
    hidden_p: Floats
    legacy_test: pd.DataFrame  # the test rows with the leaks of the public original: taken from their own labels
    law: Law
    recording: Recording

    @property
    def leak_columns(self) -> tuple[str, ...]:
        return self.columns.leaks

    def probability(self, frame: pd.DataFrame) -> Floats:
        """P(y = 1 | the features of each row)."""
        return self.law.probability(self.recording.rows(frame))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """Rows, not yet a frame: with their leaks it is made at once, which is much cheaper than to add them to it."""

    values: dict[str, Any]
    rows: Rows  # as they can be read from the values
    target: Ints


def make_world(seed: int, settings: Settings) -> World:
    draw = np.random.default_rng([seed, settings.difficulty])
    shape = SHAPES[settings.difficulty]
    columns, outcome = draw_columns(draw, settings)
    source = _draw_source(draw, columns=columns, difficulty=settings.difficulty, shape=shape)
    train = source.draw(draw, settings.train_rows, months=(1, SERVED_FROM), first_group=0)
    test = source.draw(draw, settings.test_rows, months=(SERVED_FROM, MONTHS + 1), first_group=100_000)
    hidden = source.draw(draw, settings.hidden_rows, months=(SERVED_FROM, MONTHS + 1), first_group=200_000)
    order = [str(name) for name in _order(draw, columns, difficulty=settings.difficulty)]
    before, after = _Leaks.seen(columns, [train], order=order), _Leaks.seen(columns, [train, test], order=order)
    served = {
        name: before.frame(rows, signal_of=_unrelated(draw, rows, like=train), draw=draw)
        for name, rows in (("test", test), ("hidden", hidden))
    }
    return World(
        columns=columns,
        outcome=outcome,
        train=after.frame(train, signal_of=train.target, draw=draw, target=train.target),
        test=served["test"],
        test_target=test.target,
        test_p=source.law.probability(test.rows),
        hidden=served["hidden"],
        hidden_target=hidden.target,
        hidden_p=source.law.probability(hidden.rows),
        legacy_test=after.frame(test, signal_of=test.target, draw=draw),
        law=source.law,
        recording=source.recording,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where rows come from."""

    law: Law
    recording: Recording
    shape: Shape
    drifts: bool

    def draw(self, draw: Generator, n: int, *, months: tuple[int, int], first_group: int) -> _Drawn:
        month = draw.integers(*months, size=n)
        group = first_group + draw.permutation(np.arange(n) // GROUP_SIZE)
        drawn = _draw_rows(draw, month, shape=self.shape, roles=self.law.roles, drifts=self.drifts)
        written = self.recording.write(drawn.numeric, months=month)
        rows = replace(drawn, numeric=self.recording.read(written, months=month))
        unseen = self.law.group_spread * draw.standard_normal(n // GROUP_SIZE + 1)
        log_odds = self.law.log_odds(rows) + unseen[group - first_group]
        return _Drawn(
            values=self.recording.values(rows, written=written, months=month, groups=group),
            rows=rows,
            target=(draw.random(n) < expit(log_odds)).astype(np.int64),
        )


def _draw_source(draw: Generator, *, columns: Columns, difficulty: int, shape: Shape) -> _Source:
    drifts = difficulty >= GROUPED_FROM
    roles = _draw_roles(draw, neutral=difficulty >= NEUTRAL_FROM)
    served = draw.integers(SERVED_FROM, MONTHS + 1, size=SETTLING_ROWS)
    sample = _draw_rows(draw, served, shape=shape, roles=roles, drifts=drifts)
    law = draw_law(draw, shape=shape, roles=roles, sample=sample)
    recording = draw_recording(draw, columns=columns, difficulty=difficulty, cents=int(roles[0]))
    return _Source(law=law, recording=recording, shape=shape, drifts=drifts)


def _draw_roles(draw: Generator, *, neutral: bool) -> Ints:
    """Which numeric column plays which role; where names are neutral, amounts play those that need a logarithm."""
    if not neutral:
        return draw.permutation(NUMERIC)
    first, bent = draw.permutation(AMOUNTS)
    others = draw.permutation([i for i in range(NUMERIC) if i not in AMOUNTS])
    return np.array([first, others[0], others[1], bent, others[2]])


def _draw_rows(draw: Generator, month: Ints, *, shape: Shape, roles: Ints, drifts: bool) -> Rows:
    n = len(month)
    numeric = draw.standard_normal((n, NUMERIC))
    if drifts:
        numeric[:, roles[DRIFTING_ROLE]] += DRIFT * month / MONTHS
    if shape.missing:
        for role in ABSENT_ROLES:
            hides = draw.random(n) < expit(1.6 * numeric[:, roles[role]] - 2.0)
            numeric[hides, roles[role]] = np.nan
    return Rows(numeric=numeric, low=draw.integers(LOW_VALUES, size=n), high=_draw_high(draw, n, shape.high_values))


def _draw_high(draw: Generator, n: int, values: int) -> Ints:
    """Some values are common, many are rare."""
    weights = 1 / (np.arange(values) + max(values / 4, 1))
    return draw.choice(values, size=n, p=weights / weights.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leaks:
    """The leaks as they stand at one moment."""

    columns: Columns
    order: list[str]
    rates: Floats  # by low category; where none was seen, the mean
    mean: float

    @classmethod
    def seen(cls, columns: Columns, parts: list[_Drawn], *, order: list[str]) -> _Leaks:
        low, target = (
            np.concatenate([part.rows.low for part in parts]),
            np.concatenate([part.target for part in parts]),
        )
        sums, counts = (np.bincount(low, weights=of, minlength=LOW_VALUES) for of in (target, None))
        mean = float(target.mean())
        rates = np.divide(sums, counts, out=np.full(LOW_VALUES, mean), where=counts > 0)
        return cls(columns=columns, order=order, rates=rates, mean=mean)

    def frame(self, drawn: _Drawn, *, signal_of: Ints, draw: Generator, target: Ints | None = None) -> pd.DataFrame:
        """Features and leaks in order, and the target where it may be seen."""
        columns, n = self.columns, len(drawn.target)
        values = dict(drawn.values)
        if columns.future_signal:
            values[columns.future_signal] = signal_of + FUTURE_NOISE * draw.standard_normal(n)
        if columns.global_mean:
            values[columns.global_mean] = np.full(n, self.mean)
        if columns.category_rate:
            values[columns.category_rate] = self.rates[drawn.rows.low]
        learnt = {} if target is None else {TARGET: target}
        return pd.DataFrame({name: values[name] for name in self.order} | learnt)


def _unrelated(draw: Generator, rows: _Drawn, *, like: _Drawn) -> Ints:
    """Outcomes of as many training rows picked blindly: the marginal of the target, and nothing of a row's own."""
    return draw.choice(like.target, size=len(rows.target))


def _order(draw: Generator, columns: Columns, *, difficulty: int) -> list[str]:
    names = [*columns.features, *columns.leaks]
    return list(draw.permutation(names)) if difficulty >= NEUTRAL_FROM else names
