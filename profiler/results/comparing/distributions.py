"""Tails of the distributions that the tests need, without scipy: Student's t, the normal, and a fair coin.

Good to about twelve digits over sizes from one pair to millions; tests compare them with scipy.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

STEPS: Final = 100_000
EPSILON: Final = 1e-16
SERIES_FROM: Final = 100.0
STIRLING: Final = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)

normal_quantile: Final = NormalDist().inv_cdf


def normal_above(z: float) -> float:
    """P(Z ≥ z)."""
    return math.erfc(z / math.sqrt(2)) / 2


def t_above(t: float, df: float) -> float:
    """P(T ≥ t) of Student's t."""
    half = _t_beyond(abs(t), df) / 2
    return half if t >= 0 else 1 - half


def _t_beyond(t: float, df: float) -> float:
    """P(|T| ≥ t), the regularized incomplete beta function at df / (df + t²)."""
    if t == 0:
        return 1.0
    if math.isinf(t):
        return 0.0
    square = t * t
    a, x, rest = df / 2, df / (df + square), square / (df + square)
    # ln [x^a (1-x)^(1/2) / B(a, 1/2)]
    front = -a * math.log1p(square / df) + math.log(rest) / 2 + _half_step(a) - math.log(math.pi) / 2
    if x < (a + 1) / (a + 2.5):
        return math.exp(front) * _fraction(a, 0.5, x) / a
    return 1 - math.exp(front) * _fraction(0.5, a, rest) / 0.5


def _half_step(a: float) -> float:
    """ln Γ(a + 1/2) - ln Γ(a); by its series where the difference of two large numbers would lose digits."""
    if a < SERIES_FROM:
        return math.lgamma(a + 0.5) - math.lgamma(a)
    return math.log(a) / 2 - 1 / (8 * a) + 1 / (192 * a**3) - 1 / (640 * a**5)


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    value = d
    for step in range(1, STEPS):
        for factor in (
            step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step)),
            -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1)),
        ):
            d = 1 + factor * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + factor / c
            c = c if abs(c) > tiny else tiny
            value *= c * d
        if abs(c * d - 1) < EPSILON:
            break
    return value


def fair_coin(heads: int, tosses: int) -> float:
    """The exact two-sided p of so many heads with a fair coin: twice the smaller tail, 1 at most."""
    fewer = min(heads, tosses - heads)
    if 2 * fewer >= tosses - 1:
        return 1.0
    if tosses < 1000:
        return min(1.0, 2 * sum(math.comb(tosses, k) for k in range(fewer + 1)) / (1 << tosses))
    return min(1.0, 2 * _lower_tail(fewer, tosses))


def _lower_tail(k: int, n: int) -> float:
    """P(X ≤ k): the terms shrink from k downwards, so few of them count."""
    term = total = 1.0
    for at in range(k, 0, -1):
        term *= at / (n - at + 1)
        total += term
        if term < total * EPSILON:
            break
    return total * math.exp(_log_chance(k, n))


def _log_chance(k: int, n: int) -> float:
    """ln P(X = k) of n fair tosses, after Loader: from how far k lies from n/2, not from huge factorials."""
    if k == 0:
        return -n * math.log(2)
    away = _deviance(k, n / 2) + _deviance(n - k, n / 2)
    spread = _stirling_error(n) - _stirling_error(k) - _stirling_error(n - k)
    return spread - away + math.log(n / (2 * math.pi * k * (n - k))) / 2


def _deviance(x: float, mean: float) -> float:
    """x ln(x/mean) + mean - x, without losing digits where x is near the mean."""
    if abs(x - mean) > 0.1 * (x + mean):
        return x * math.log(x / mean) + mean - x
    ratio = (x - mean) / (x + mean)
    total, power = (x - mean) * ratio, 2 * x * ratio
    for step in range(1, 1000):
        power *= ratio * ratio
        before, total = total, total + power / (2 * step + 1)
        if total == before:
            break
    return total


def _stirling_error(n: int) -> float:
    """ln n! beyond Stirling's formula."""
    if n < 16:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - math.log(2 * math.pi) / 2
    return math.fsum(term / float(n) ** (2 * power + 1) for power, term in enumerate(STIRLING))
