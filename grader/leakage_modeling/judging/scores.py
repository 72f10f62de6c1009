"""Measures of probabilities: distances to the true ones, and the usual measures on labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import rel_entr
from scipy.stats import rankdata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SUREST = 1e-6  # more certainty than this counts as this much: a wrong 0 costs a lot, but not infinitely much
BINS = 10
ALIKE = 20  # groups of rows that were predicted alike


def excess(truth: Floats, said: Floats) -> float:
    """By how many nats a row the expected log loss exceeds that of the truth."""
    sure = np.clip(said, SUREST, 1 - SUREST)
    return float(np.mean(rel_entr(truth, sure) + rel_entr(1 - truth, 1 - sure)))


def distance(truth: Floats, said: Floats) -> float:
    """The mean squared distance to the truth."""
    return float(np.mean((truth - said) ** 2))


def unfaithfulness(truth: Floats, said: Floats) -> float:
    """The mean squared distance to the truth after rows with similar predictions are averaged.

    It is 0 when what is predicted with 30 % happens in 30 % of cases, however little that tells the rows apart.
    """
    groups = np.array_split(np.argsort(said, kind="stable"), min(ALIKE, len(said)))
    apart = [len(rows) * float(truth[rows].mean() - said[rows].mean()) ** 2 for rows in groups]
    return sum(apart) / len(truth)


def auroc(target: NDArray[np.int64], said: Floats) -> float:
    """The chance that a random positive row is ranked above a random negative one; ties count half."""
    positive = int(target.sum())
    negative = len(target) - positive
    if not positive or not negative:
        return float("nan")
    ranks = rankdata(said)[target == 1].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def brier(target: NDArray[np.int64], said: Floats) -> float:
    return float(np.mean((target - said) ** 2))


def log_loss(target: NDArray[np.int64], said: Floats) -> float:
    sure = np.clip(said, SUREST, 1 - SUREST)
    return float(-np.mean(np.log(np.where(target == 1, sure, 1 - sure))))


def ece(target: NDArray[np.int64], said: Floats) -> float:
    """The expected calibration error over ten bins of equal width."""
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    apart = np.bincount(place, weights=target - said, minlength=BINS)
    return float(np.abs(apart).sum() / len(target))
