"""The law of a world: how likely the outcome is, given what can be seen of a row.

Comes in: a difficulty and a random generator. Goes out: a `Law`, which turns `Rows` into probabilities. Knows nothing of
names, frames or leaks.

The sizes of all effects are the same in every world of a difficulty; signs, places and order are drawn. The log-odds are
scaled and shifted to the same spread and mean, so that one world is as hard as the next and skill decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, ndtri

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

NUMERIC = 5
LOW_VALUES = 6
PREVALENCE = 0.45
SPREAD = 3.6  # standard deviation of the log-odds: an oracle reaches an AUROC of about 0.94


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How much each kind of effect counts at one difficulty, as standard deviations before scaling."""

    linear: tuple[float, ...]  # of the five roles of a numeric column
    low: float
    high: float
    high_values: int
    product: float = 0.0  # of roles 0 and 1
    slopes: float = 0.0  # of role 2, with a sign that depends on the low category
    bend: float = 0.0  # of the square of role 3
    missing: float = 0.0  # of the absence of roles 3 and 4, which are absent when they are high
    group: float = 0.0  # of what no column shows


_BENT = {"product": 1.3, "slopes": 1.2, "bend": 1.1, "missing": 1.0}
SHAPES = (
    Shape(linear=(1.5, 1.1, 0.8, 0.6, 0.4), low=1.0, high=0.6, high_values=4),
    Shape(linear=(1.0, 0.7, 0.5, 0.3, 0.6), low=0.8, high=0.6, high_values=4, **_BENT),
    Shape(linear=(1.0, 0.7, 0.5, 0.3, 0.6), low=0.8, high=1.2, high_values=60, **_BENT),
    Shape(linear=(1.0, 0.7, 0.5, 0.3, 0.6), low=0.8, high=1.2, high_values=60, group=0.7, **_BENT),
)
ABSENT_ROLES = (3, 4)

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What can be seen of some rows, in plain numbers: numeric columns in order, categories as numbers or -1."""

    numeric: Floats  # rows × 5, about standard normal, NaN where absent
    low: Ints
    high: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    shape: Shape
    roles: Ints  # which numeric column plays which role
    linear: Floats
    product: float
    slopes: Floats  # by low category
    bend: float
    missing: Floats  # by role
    low: Floats
    high: Floats
    scale: float
    shift: float

    def log_odds(self, rows: Rows) -> Floats:
        """Of a row whose group is an average one."""
        return self.shift + self.scale * self.raw(rows)

    def probability(self, rows: Rows) -> Floats:
        """P(y = 1 | row); the unseen effect of the group is averaged out, as nobody can know it."""
        return _averaged(self.log_odds(rows), spread=self.group_spread)

    @property
    def group_spread(self) -> float:
        return self.scale * self.shape.group

    def raw(self, rows: Rows) -> Floats:
        seen = rows.numeric[:, self.roles]
        absent = np.isnan(seen)
        filled = np.where(absent, 0.0, seen)
        bend = np.where(absent[:, 3], 0.0, (filled[:, 3] ** 2 - 1) / np.sqrt(2))
        effect: Floats = (
            filled @ self.linear
            + self.product * filled[:, 0] * filled[:, 1]
            + _of(self.slopes, rows.low) * filled[:, 2]
            + self.bend * bend
            + absent @ self.missing
            + _of(self.low, rows.low)
            + _of(self.high, rows.high)
        )
        return effect


def draw_law(draw: Generator, *, shape: Shape, roles: Ints, sample: Rows) -> Law:
    """A law whose log-odds over the sample have the agreed spread and prevalence."""
    drawn = Law(
        shape=shape,
        roles=roles,
        linear=np.array(shape.linear) * _signs(draw, NUMERIC),
        product=shape.product * _signs(draw, 1)[0],
        slopes=shape.slopes * draw.permutation([1.0, -1.0] * (LOW_VALUES // 2)),
        bend=shape.bend * _signs(draw, 1)[0],
        missing=np.array([shape.missing if role in ABSENT_ROLES else 0.0 for role in range(NUMERIC)])
        * _signs(draw, NUMERIC),
        low=_effects(draw, LOW_VALUES, spread=shape.low),
        high=_effects(draw, shape.high_values, spread=shape.high),
        scale=1.0,
        shift=0.0,
    )
    return _settled(drawn, drawn.raw(sample))


def _settled(law: Law, raw: Floats) -> Law:
    scale = SPREAD / float(np.hypot(raw.std(), law.shape.group))
    spread = scale * law.shape.group

    def prevalence_with(shift: float) -> float:
        return float(_averaged(shift + scale * raw, spread=spread).mean()) - PREVALENCE

    shift = float(brentq(prevalence_with, -30, 30, xtol=1e-9))
    changed = {name: getattr(law, name) for name in Law.__dataclass_fields__} | {"scale": scale, "shift": shift}
    return Law(**changed)


def _averaged(log_odds: Floats, *, spread: float) -> Floats:
    """The probability with a normal effect of that spread averaged out."""
    if not spread:
        return _probabilities(log_odds)
    weights = _WEIGHTS / _WEIGHTS.sum()
    return np.asarray(_probabilities(log_odds[:, None] + spread * _NODES) @ weights)


def _probabilities(log_odds: Floats) -> Floats:
    return np.asarray(expit(log_odds), dtype=np.float64)


def _signs(draw: Generator, n: int) -> Floats:
    return draw.choice([-1.0, 1.0], size=n)


def _effects(draw: Generator, n: int, *, spread: float) -> Floats:
    """Normal quantiles in a drawn order: never by chance all alike."""
    quantiles = np.asarray(ndtri((np.arange(n) + 0.5) / n))
    return draw.permutation(quantiles * spread / quantiles.std())


def _of(effects: Floats, values: Ints) -> Floats:
    """The effect of each value; an unknown one has none."""
    return np.where(values >= 0, effects[values], 0.0)
