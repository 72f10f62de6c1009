"""The law of a world: how likely the outcome is, given the ordinary columns of a row.

A law is a sum of effects on the log-odds. Which forms of effect it has (a product of two columns, a step, a wave, …),
their signs and their places are drawn. Their sizes are fixed, and the sum is scaled to one spread and prevalence, so
that all worlds are equally hard and skill decides. `signals` has the columns that a world adds to the ordinary ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

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

Form = Literal["product", "slopes", "bend", "step", "wave", "absence"]
SIZES: dict[Form, float] = {"product": 1.3, "slopes": 1.2, "bend": 1.1, "step": 1.2, "wave": 1.2, "absence": 1.0}
FACTORS = (0, 1)  # the roles that are multiplied in a product
STEP_ROLE, SLOPE_ROLE, BENT_ROLE, WAVE_ROLE = 1, 2, 3, 4
ABSENT_ROLES = (2, 3)  # their values are missing more often when they are high


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the laws of one difficulty are drawn from. Sizes are standard deviations before scaling."""

    linear: tuple[float, ...]  # by the five roles of numeric columns
    low: float
    high: float
    high_values: int
    spread: float  # of the log-odds, after scaling
    forms: int = 0  # number of effects beyond the additive ones
    group: float = 0.0  # effect of the group, which no column shows


_LINEAR = (1.0, 0.7, 0.5, 0.3, 0.6)
SHAPES = (
    Shape(linear=(1.5, 1.1, 0.8, 0.6, 0.4), low=1.0, high=0.6, high_values=4, spread=3.6),
    Shape(linear=_LINEAR, low=0.8, high=0.6, high_values=4, spread=2.6, forms=2),
    Shape(linear=_LINEAR, low=0.8, high=1.0, high_values=60, spread=2.6, forms=3),
    Shape(linear=_LINEAR, low=0.8, high=1.0, high_values=60, spread=2.6, forms=4, group=0.6),
)

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows in plain numbers: numeric columns in order, categories as numbers, -1 for an unknown one."""

    numeric: Floats  # rows × 5, about standard normal, NaN where absent
    low: Ints
    high: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    shape: Shape
    forms: frozenset[Form]
    roles: Ints  # which numeric column plays which role
    linear: Floats
    product: float
    slopes: Floats  # by low category
    bend: float
    step: float
    step_at: float
    wave: float
    wave_from: float  # where in its period the wave begins
    cycle: Cycle | None
    absence: Floats  # by role
    low: Floats
    high: Floats
    scale: float
    shift: float

    def log_odds(self, rows: Rows) -> Floats:
        """The log-odds of rows whose group has no effect."""
        return self.shift + self.scale * self.raw(rows)

    def probability(self, rows: Rows) -> Floats:
        """P(y = 1 | row). The effect of the group is averaged out, because nobody can know it."""
        return _averaged(self.log_odds(rows), spread=self.group_spread)

    @property
    def group_spread(self) -> float:
        return self.scale * self.shape.group

    def raw(self, rows: Rows) -> Floats:
        seen = rows.numeric[:, self.roles]
        absent = np.isnan(seen)
        filled = np.where(absent, 0.0, seen)
        bend = np.where(absent[:, BENT_ROLE], 0.0, (filled[:, BENT_ROLE] ** 2 - 1) / np.sqrt(2))
        effect: Floats = (
            filled @ self.linear
            + self.product * filled[:, FACTORS[0]] * filled[:, FACTORS[1]]
            + _of(self.slopes, rows.low) * filled[:, SLOPE_ROLE]
            + self.bend * bend
            + 2 * self.step * (filled[:, STEP_ROLE] > self.step_at)
            + self._wave(filled[:, WAVE_ROLE])
            + absent @ self.absence
            + _of(self.low, rows.low)
            + _of(self.high, rows.high)
        )
        return effect

    def _wave(self, standardised: Floats) -> Floats | float:
        if self.cycle is None:
            return 0.0
        turned = 2 * np.pi * self.cycle.written(standardised) / self.cycle.period
        return np.asarray(self.wave * np.sqrt(2) * np.sin(turned + self.wave_from), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Cycle:
    """A column that begins again after its period, such as an hour of the day. Its values are 0 to period - 1."""

    period: int

    @property
    def centre(self) -> float:
        return (self.period - 1) / 2

    @property
    def unit(self) -> float:
        return float(np.sqrt((self.period**2 - 1) / 12))

    def written(self, standardised: Floats) -> Floats:
        return np.asarray(np.rint(self.centre + self.unit * standardised), dtype=np.float64)

    def draw(self, draw: Generator, n: int) -> Floats:
        return np.asarray((draw.integers(self.period, size=n) - self.centre) / self.unit, dtype=np.float64)


def draw_forms(draw: Generator, shape: Shape) -> frozenset[Form]:
    names = list(SIZES)
    return frozenset(names[i] for i in draw.permutation(len(names))[: shape.forms])


def draw_law(
    draw: Generator, *, shape: Shape, forms: frozenset[Form], cycle: Cycle | None, roles: Ints, sample: Rows
) -> Law:
    """Draw a law whose log-odds over the sample have the agreed spread and prevalence."""

    def signed(form: Form) -> float:
        return (SIZES[form] if form in forms else 0.0) * float(_signs(draw, 1)[0])

    absence = SIZES["absence"] if "absence" in forms else 0.0
    linear = np.array(shape.linear) * _signs(draw, NUMERIC)
    if cycle is not None:
        linear[WAVE_ROLE] = 0.0  # a cyclic column has no slope
    drawn = Law(
        shape=shape,
        forms=forms,
        roles=roles,
        linear=linear,
        product=signed("product"),
        slopes=abs(signed("slopes")) * draw.permutation([1.0, -1.0] * (LOW_VALUES // 2)),
        bend=signed("bend"),
        step=signed("step"),
        step_at=float(draw.uniform(-0.6, 0.6)),
        wave=signed("wave"),
        wave_from=float(draw.uniform(0, 2 * np.pi)),
        cycle=cycle,
        absence=np.array([absence if role in ABSENT_ROLES else 0.0 for role in range(NUMERIC)]) * _signs(draw, NUMERIC),
        low=_effects(draw, LOW_VALUES, spread=shape.low),
        high=_effects(draw, shape.high_values, spread=shape.high),
        scale=1.0,
        shift=0.0,
    )
    return _settled(drawn, drawn.raw(sample))


def _settled(law: Law, raw: Floats) -> Law:
    scale = law.shape.spread / float(np.hypot(raw.std(), law.shape.group))
    spread = scale * law.shape.group

    def prevalence_with(shift: float) -> float:
        return float(_averaged(shift + scale * raw, spread=spread).mean()) - PREVALENCE

    return replace(law, scale=scale, shift=float(brentq(prevalence_with, -30, 30, xtol=1e-9)))


def _averaged(log_odds: Floats, *, spread: float) -> Floats:
    """The probability, averaged over normal effects of that spread."""
    nodes, weights = group_nodes(spread)
    return np.asarray(_probabilities(log_odds[:, None] + nodes) @ weights)


def group_nodes(spread: float) -> tuple[Floats, Floats]:
    """Possible effects of a group, and the weight of each (Gauss-Hermite). Without groups there is one effect, 0."""
    if not spread:
        return np.zeros(1), np.ones(1)
    return spread * _NODES, _WEIGHTS / _WEIGHTS.sum()


def _probabilities(log_odds: Floats) -> Floats:
    return np.asarray(expit(log_odds), dtype=np.float64)


def _signs(draw: Generator, n: int) -> Floats:
    return draw.choice(np.array([-1.0, 1.0]), size=n)


def _effects(draw: Generator, n: int, *, spread: float) -> Floats:
    """Normal quantiles in a random order, so that they are never nearly equal by chance."""
    quantiles = np.asarray(ndtri((np.arange(n) + 0.5) / n))
    return draw.permutation(quantiles * spread / quantiles.std())


def _of(effects: Floats, values: Ints) -> Floats:
    """The effect of each value; 0 for an unknown one."""
    return np.where(values >= 0, effects[values], 0.0)
