"""A world: rows to learn from, rows to score, and what only the grader knows about them.

The same secret seed and settings always give the same world. The law and the labels of rows to score stay with the
grader; only `train` and `test` go to a worker.

Training rows carry the leaks as they look to somebody who joins tables after the fact. In rows to score, a signal that
comes too late is drawn for an outcome that the row might as well have had: given all that is known in time, it says
nothing about the true outcome. So the columns of both tables have the same distribution, and comparing the tables
reveals no leak.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from task_kit.leakage_modeling.worlds.columns import AMOUNTS, CYCLIC, GENERATED_FROM, GROUPED_FROM, TARGET
from task_kit.leakage_modeling.worlds.law import (
    ABSENT_ROLES,
    LOW_VALUES,
    NUMERIC,
    SHAPES,
    Rows,
    draw_forms,
    draw_law,
    group_nodes,
)
from task_kit.leakage_modeling.worlds.naming import draw_columns
from task_kit.leakage_modeling.worlds.recording import MONTHS, SERVED_FROM, draw_recording

if TYPE_CHECKING:
    from numpy.random import Generator

    from task_kit.leakage_modeling.worlds.columns import Columns
    from task_kit.leakage_modeling.worlds.law import Floats, Form, Ints, Law, Shape
    from task_kit.leakage_modeling.worlds.naming import Told
    from task_kit.leakage_modeling.worlds.recording import Recording
    from task_kit.leakage_modeling.worlds.settings import Settings

GROUP_SIZE = 4
SETTLING_ROWS = 8000
FUTURE_NOISE = 0.25  # noise of the classic task's signal
DRIFT = 0.6  # standard deviations by which one column moves over time
DRIFTING_ROLE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    columns: Columns
    told: Told
    train: pd.DataFrame  # features, leaks, target
    test: pd.DataFrame  # features, and leaks as they look at the time of prediction
    test_target: Ints
    test_p: Floats
    hidden: pd.DataFrame
    hidden_target: Ints
    hidden_p: Floats
    legacy_test: pd.DataFrame  # test rows with the public original's leaks, which are made from their own labels
    law: Law
    recording: Recording

    @property
    def leak_columns(self) -> tuple[str, ...]:
        return self.columns.leaks

    def probability(self, frame: pd.DataFrame) -> Floats:
        """P(y = 1 | everything that is known in time)."""
        evidence = sum((signal.evidence(frame[signal.name]) for signal in self.columns.known_signals), start=0.0)
        prior = self.law.probability(self.recording.rows(frame))
        return prior if isinstance(evidence, float) else np.asarray(expit(logit(prior) + evidence))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """Rows that are not a frame yet.

    Making a frame with all columns at once is much cheaper than adding leaks later.
    """

    values: dict[str, Any]
    rows: Rows  # as they can be read back from the values
    log_odds: Floats  # before the effect of the group and the signals
    evidence: Floats  # from the signals that are known in time
    group: Ints
    target: Ints


def make_world(seed: int, settings: Settings) -> World:
    draw = np.random.default_rng([seed, settings.difficulty])
    shape = SHAPES[settings.difficulty]
    forms = draw_forms(draw, shape)
    columns, told = draw_columns(draw, settings, cyclic="wave" in forms)
    source = _draw_source(draw, columns=columns, difficulty=settings.difficulty, forms=forms)
    train = source.draw(draw, settings.train_rows, months=(1, SERVED_FROM), first_group=0)
    test = source.draw(draw, settings.test_rows, months=(SERVED_FROM, MONTHS + 1), first_group=100_000)
    hidden = source.draw(draw, settings.hidden_rows, months=(SERVED_FROM, MONTHS + 1), first_group=200_000)
    order = [str(name) for name in _order(draw, columns, difficulty=settings.difficulty)]
    before, after = _Leaks.seen(columns, [train], order=order), _Leaks.seen(columns, [train, test], order=order)
    served = {
        name: before.frame(rows, signal_of=source.other_outcomes(draw, rows, like=train), draw=draw)
        for name, rows in (("test", test), ("hidden", hidden))
    }
    world = World(
        columns=columns,
        told=told,
        train=after.frame(train, signal_of=train.target, draw=draw, target=train.target),
        test=served["test"],
        test_target=test.target,
        test_p=np.empty(0),
        hidden=served["hidden"],
        hidden_target=hidden.target,
        hidden_p=np.empty(0),
        legacy_test=after.frame(test, signal_of=test.target, draw=draw),
        law=source.law,
        recording=source.recording,
    )
    return replace(world, test_p=world.probability(world.test), hidden_p=world.probability(world.hidden))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Draws rows."""

    columns: Columns
    law: Law
    recording: Recording
    drifts: bool

    def draw(self, draw: Generator, n: int, *, months: tuple[int, int], first_group: int) -> _Drawn:
        month = draw.integers(*months, size=n)
        group = first_group + draw.permutation(np.arange(n) // GROUP_SIZE)
        drawn = _draw_rows(
            draw,
            month,
            law=(self.law.shape, self.law.forms),
            columns=self.columns,
            roles=self.law.roles,
            drifts=self.drifts,
        )
        written = self.recording.write(drawn.numeric, months=month)
        rows = replace(drawn, numeric=self.recording.read(written, months=month))
        log_odds = self.law.log_odds(rows)
        unseen = self.law.group_spread * draw.standard_normal(n // GROUP_SIZE + 1)
        target = (draw.random(n) < expit(log_odds + unseen[group - first_group])).astype(np.int64)
        known = {signal.name: signal.written(signal.draw(draw, target)) for signal in self.columns.known_signals}
        evidence = [signal.evidence(pd.Series(known[signal.name])) for signal in self.columns.known_signals]
        return _Drawn(
            values=self.recording.values(rows, written=written, months=month, groups=group) | known,
            rows=rows,
            log_odds=log_odds,
            evidence=np.sum([np.zeros(n), *evidence], axis=0),
            group=group - first_group,
            target=target,
        )

    def other_outcomes(self, draw: Generator, rows: _Drawn, *, like: _Drawn) -> Ints:
        """Outcomes that the rows might as well have had, for the signals that come too late.

        In the classic task they are taken from random training rows. Where columns are generated, they are drawn from
        the distribution given everything that is known in time, so that neither table shows that these signals are
        different.
        """
        n = len(rows.target)
        if not self.columns.signals:
            return draw.choice(like.target, size=n)
        nodes, weights = group_nodes(self.law.group_spread)
        log_odds = rows.log_odds[:, None] + nodes
        with_outcome = expit(log_odds) * np.exp(rows.evidence)[:, None]
        # the likelihood of a row's signals for each possible effect of its group
        seen = np.log(with_outcome + expit(-log_odds))
        groups = np.log(weights) + np.stack([np.bincount(rows.group, weights=column) for column in seen.T], axis=1)
        # draws one effect for each group (the Gumbel-max trick)
        chosen = np.argmax(groups + draw.gumbel(size=groups.shape), axis=1)[rows.group]
        p = expit(rows.log_odds + nodes[chosen] + rows.evidence)
        return np.asarray(draw.random(n) < p, dtype=np.int64)


def _draw_source(draw: Generator, *, columns: Columns, difficulty: int, forms: frozenset[Form]) -> _Source:
    drifts, shape = difficulty >= GROUPED_FROM, SHAPES[difficulty]
    roles = _draw_roles(draw, columns, generated=difficulty >= GENERATED_FROM)
    served = draw.integers(SERVED_FROM, MONTHS + 1, size=SETTLING_ROWS)
    sample = _draw_rows(draw, served, law=(shape, forms), columns=columns, roles=roles, drifts=drifts)
    law = draw_law(draw, shape=shape, forms=forms, cycle=columns.cycle, roles=roles, sample=sample)
    recording = draw_recording(draw, columns=columns, difficulty=difficulty, cents=int(roles[0]))
    return _Source(columns=columns, law=law, recording=recording, drifts=drifts)


def _draw_roles(draw: Generator, columns: Columns, *, generated: bool) -> Ints:
    """Which numeric column has which role: amounts get roles that need a logarithm, the cyclic column gets the wave."""
    if not generated:
        return draw.permutation(NUMERIC)
    first, bent = draw.permutation(AMOUNTS)
    others = [i for i in range(NUMERIC) if i not in AMOUNTS]
    if columns.cycle is not None:
        others = [*draw.permutation([i for i in others if i != CYCLIC]), CYCLIC]
    else:
        others = list(draw.permutation(others))
    return np.array([first, others[0], others[1], bent, others[2]])


def _draw_rows(
    draw: Generator,
    month: Ints,
    *,
    law: tuple[Shape, frozenset[Form]],
    columns: Columns,
    roles: Ints,
    drifts: bool,
) -> Rows:
    (shape, forms), n = law, len(month)
    numeric = draw.standard_normal((n, NUMERIC))
    if columns.cycle is not None:
        numeric[:, CYCLIC] = columns.cycle.draw(draw, n)
    if drifts:
        numeric[:, roles[DRIFTING_ROLE]] += DRIFT * month / MONTHS
    if "absence" in forms:
        for role in ABSENT_ROLES:
            hides = draw.random(n) < expit(1.6 * numeric[:, roles[role]] - 2.0)
            numeric[hides, roles[role]] = np.nan
    return Rows(numeric=numeric, low=draw.integers(LOW_VALUES, size=n), high=_draw_high(draw, n, shape.high_values))


def _draw_high(draw: Generator, n: int, values: int) -> Ints:
    """A few values are common, many are rare."""
    weights = 1 / (np.arange(values) + max(values / 4, 1))
    return draw.choice(values, size=n, p=weights / weights.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leaks:
    """The values of the leaks at one moment."""

    columns: Columns
    order: list[str]
    rates: Floats  # by low category; the mean where there was no row
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
        """The frame with features and leaks in order, and with the target if that may be seen."""
        columns, n = self.columns, len(drawn.target)
        values = dict(drawn.values)
        values |= {signal.name: signal.written(signal.draw(draw, signal_of)) for signal in columns.late_signals}
        if columns.classic_signal:
            values[columns.classic_signal] = signal_of + FUTURE_NOISE * draw.standard_normal(n)
        if columns.global_mean:
            values[columns.global_mean] = np.full(n, self.mean)
        if columns.category_rate:
            values[columns.category_rate] = self.rates[drawn.rows.low]
        learnt = {} if target is None else {TARGET: target}
        return pd.DataFrame({name: values[name] for name in self.order} | learnt)


def _order(draw: Generator, columns: Columns, *, difficulty: int) -> list[str]:
    names = [*columns.features, *columns.leaks]
    return list(draw.permutation(names)) if difficulty >= GENERATED_FROM else names
