"""A world: rows to learn from, rows to score, and what only the grader knows about them.

Comes in: a secret seed and the settings. Goes out: a `World`, always the same for the same two. Knows nothing of
submissions. Labels of the rows to score and the law stay with the grader; `train` and `test` alone go to a worker.

Training rows carry the leaks as somebody finds them who joins tables after the fact. Rows to score carry them as they would
be when the prediction is made: same type and marginal, but nothing of the row's own outcome, and rates from training only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit

from task_kit.leakage_modeling.columns import AMOUNTS, GROUPED_FROM, NEUTRAL_FROM, TARGET, draw_columns
from task_kit.leakage_modeling.law import ABSENT_ROLES, LOW_VALUES, NUMERIC, SHAPES, Rows, Shape, draw_law
from task_kit.leakage_modeling.recording import MONTHS, SERVED_FROM, draw_recording

if TYPE_CHECKING:
    from numpy.random import Generator

    from task_kit.leakage_modeling.columns import Columns
    from task_kit.leakage_modeling.law import Floats, Ints, Law
    from task_kit.leakage_modeling.recording import Recording
    from task_kit.leakage_modeling.settings import Settings

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
    frame: pd.DataFrame
    target: Ints


def make_world(seed: int, settings: Settings) -> World:
    draw = np.random.default_rng([seed, settings.difficulty])
    shape = SHAPES[settings.difficulty]
    columns, outcome = draw_columns(draw, settings)
    source = _draw_source(draw, columns=columns, difficulty=settings.difficulty, shape=shape)
    train = source.draw(draw, settings.train_rows, months=(1, SERVED_FROM), first_group=0)
    test = source.draw(draw, settings.test_rows, months=(SERVED_FROM, MONTHS + 1), first_group=100_000)
    hidden = source.draw(draw, settings.hidden_rows, months=(SERVED_FROM, MONTHS + 1), first_group=200_000)
    seen = np.concatenate([train.target, test.target])
    after = _Leaks(columns, rates=_rates([train, test], columns.low), mean=float(seen.mean()))
    before = _Leaks(columns, rates=_rates([train], columns.low), mean=float(train.target.mean()))
    order = [str(name) for name in _order(draw, columns, difficulty=settings.difficulty)]
    served = {
        name: before.added(rows.frame, signal_of=_unrelated(draw, rows, like=train), draw=draw)[order]
        for name, rows in (("test", test), ("hidden", hidden))
    }
    learnt = after.added(train.frame, signal_of=train.target, draw=draw)[order]
    return World(
        columns=columns,
        outcome=outcome,
        train=learnt.assign(**{TARGET: train.target}),
        test=served["test"],
        test_target=test.target,
        test_p=source.probability(test.frame),
        hidden=served["hidden"],
        hidden_target=hidden.target,
        hidden_p=source.probability(hidden.frame),
        legacy_test=after.added(test.frame, signal_of=test.target, draw=draw)[order],
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
        rows = _draw_rows(draw, month, shape=self.shape, roles=self.law.roles, drifts=self.drifts)
        frame = self.recording.frame(rows, months=month, groups=group)
        unseen = self.law.group_spread * draw.standard_normal(n // GROUP_SIZE + 1)
        log_odds = self.law.log_odds(self.recording.rows(frame)) + unseen[group - first_group]
        return _Drawn(frame=frame, target=(draw.random(n) < expit(log_odds)).astype(np.int64))

    def probability(self, frame: pd.DataFrame) -> Floats:
        return self.law.probability(self.recording.rows(frame))


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


@dataclass(frozen=True, slots=True)
class _Leaks:
    """The leaks as they stand at one moment."""

    columns: Columns
    rates: pd.Series
    mean: float

    def added(self, frame: pd.DataFrame, *, signal_of: Ints, draw: Generator) -> pd.DataFrame:
        columns, found = self.columns, frame.copy()
        if columns.future_signal:
            found[columns.future_signal] = signal_of + FUTURE_NOISE * draw.standard_normal(len(frame))
        if columns.global_mean:
            found[columns.global_mean] = self.mean
        if columns.category_rate:
            found[columns.category_rate] = frame[columns.low].map(self.rates).fillna(self.mean).astype(float)
        return found


def _rates(parts: list[_Drawn], category: str) -> pd.Series:
    names = pd.concat([part.frame[category] for part in parts], ignore_index=True)
    target = pd.Series(np.concatenate([part.target for part in parts]))
    return target.groupby(names).mean()


def _unrelated(draw: Generator, rows: _Drawn, *, like: _Drawn) -> Ints:
    """Outcomes of as many training rows picked blindly: the marginal of the target, and nothing of a row's own."""
    return draw.choice(like.target, size=len(rows.target))


def _order(draw: Generator, columns: Columns, *, difficulty: int) -> list[str]:
    names = [*columns.features, *columns.leaks]
    return list(draw.permutation(names)) if difficulty >= NEUTRAL_FROM else names
