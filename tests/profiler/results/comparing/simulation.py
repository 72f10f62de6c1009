"""How often the intervals of a comparison hold the truth, and how often it cries wolf: by simulation, every cell printed.

    python -m tests.profiler.results.comparing.simulation            # 20,000 draws a cell, some minutes
    python -m tests.profiler.results.comparing.simulation --draws 2000

True/false scores: pairs drawn from two rates and how far they go together; McNemar and the score interval. Numbers: paired
differences of several shapes; t, or the bootstrap beside it where the rule of the comparison takes it. Ours would take days,
so numpy reckons many samples at once with the same resamples; a test compares both. Seeds are fixed.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache
from math import sqrt
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy import stats

from profiler.results.comparing.bootstrap import COCHRAN, FEWEST, ORDER, resample_size, resamples_of
from profiler.results.comparing.bootstrap import FEW as FEW_PAIRS
from profiler.results.comparing.bootstrap import SEED as SEED_OF_OURS
from profiler.results.comparing.paired_tests import Constant, TrueFalse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

DRAWS: Final = 20_000
SEED: Final = 7
AT_ONCE: Final = 250
SIZES: Final = (50, 200, 1000)
FEW: Final = 20  # for numbers only: of true/false scores the exact test is never wrong, and the interval cautious
LEVEL: Final = 0.05


class Cell(NamedTuple):
    """`covered`: the share of intervals that hold the true difference. `alarms`: of p ≤ 5 % where there is none.
    `rare`: how many cases of the rarer kind are expected (pairs that differ, values of a skewed tail)."""

    what: str
    n: int
    rare: float
    covered: float
    alarms: float | None
    bootstrapped: float = 0.0


# --- true or false ----------------------------------------------------------------------------------------------------


@cache
def _judged(n: int, gained: int, lost: int) -> tuple[float, float, float]:
    test = TrueFalse(n, gained, lost)
    low, high = test.interval
    return low, high, test.p


def true_false(n: int, *, base: float, new: float, correlation: float, draws: int) -> Cell:
    both = base * new + correlation * sqrt(base * (1 - base) * new * (1 - new))
    both = min(both, base, new)
    gained, lost = new - both, base - both
    counts = np.random.default_rng(SEED).multinomial(n, [gained, lost, max(0.0, 1 - gained - lost)], size=draws)
    found = [_judged(n, int(up), int(down)) for up, down, _ in counts]
    truth = new - base
    covered = sum(low <= truth <= high for low, high, _ in found) / draws
    alarms = sum(p <= LEVEL for *_, p in found) / draws if base == new else None
    name = f"true/false {base:g} → {new:g}, r {correlation:g}"
    return Cell(name, n, n * (gained + lost), covered, alarms)


# --- numbers ----------------------------------------------------------------------------------------------------------

SHAPES: Final[dict[str, Callable[[np.random.Generator, tuple[int, int]], Numbers]]] = {
    "normal": lambda source, size: source.normal(size=size),
    "skewed (exponential)": lambda source, size: source.exponential(size=size) - 1,
    "heavy (log-normal 1)": lambda source, size: source.lognormal(0, 1, size=size) - np.exp(0.5),
    "heavy, both sides (t3)": lambda source, size: source.standard_t(3, size=size),
    "shares of three facts": lambda source, size: (source.integers(0, 4, size) - source.integers(0, 4, size)) / 3,
    "one in ten differs": lambda source, size: (source.random(size) < 0.1) * source.exponential(size=size) - 0.1,
}


@cache
def _weights(n: int) -> Numbers:
    """How often each of n pairs is in each of our resamples: they are the same for all samples of this size."""
    choices, size = Random(SEED_OF_OURS).choices, resample_size(n)
    drawn = (np.bincount(choices(range(n), k=size), minlength=n) for _ in range(resamples_of(n)))
    return np.array(list(drawn), dtype=np.float64)


def p_of(values: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """The p of no difference of each column, and where the bootstrap was asked: what `compare_values` says, many samples at
    once. The sums of a resample are those of the sample times the weights."""
    n, size = len(values), resample_size(len(values))
    mean = values.mean(axis=0)
    around = values - mean
    squares = (around**2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = sqrt(n) * (around**3).sum(axis=0) / squares**1.5
        seen = mean / np.sqrt(squares / (n - 1) / n)
        asked = (n >= FEWEST) & (n < COCHRAN * skewness**2)
        t = [stats.t.sf(seen, n - 1), stats.t.cdf(seen, n - 1)]
        if not asked.any():
            return np.minimum(1, 2 * np.minimum(*t)), asked
        weights = _weights(n)
        ratios = _ratios(weights @ around, weights @ around**2, weights @ around**3, size, squares * 1e-12)
        ratio = _hall(seen, skewness, n)
        number = len(ratios) + 1
        order = ORDER if n >= FEW_PAIRS else np.inf
        both = [
            _mean_of_order(order, (tail + 1) / number, by_t)
            for tail, by_t in zip(((ratios >= ratio).sum(axis=0), (ratios <= ratio).sum(axis=0)), t, strict=True)
        ]
    return np.minimum(1, 2 * np.where(asked, np.minimum(*both), np.minimum(*t))), asked


def _mean_of_order(order: float, one: Numbers, other: Numbers) -> Numbers:
    found: Numbers = np.maximum(one, other) if np.isinf(order) else ((one**order + other**order) / 2) ** (1 / order)
    return found


def _ratios(total: Numbers, squares: Numbers, cubes: Numbers, size: int, flat: Numbers) -> Numbers:
    mean = total / size
    spread = squares - total * mean
    skewness = sqrt(size) * (cubes - 3 * mean * squares + 2 * total * mean * mean) / spread**1.5
    found = _hall(total / np.sqrt(spread * size / (size - 1)), skewness, size)
    return np.where(spread > flat, found, np.copysign(np.inf, total))


def _hall(ratio: Numbers, skewness: Numbers, n: int) -> Numbers:
    found: Numbers = (
        ratio + skewness * ratio**2 / (3 * sqrt(n)) + skewness**2 * ratio**3 / (27 * n) + skewness / (6 * sqrt(n))
    )
    return found


def numbers(n: int, shape: str, *, draws: int) -> Cell:
    """The true mean is 0, so an interval holds it where p is above 5 % and nowhere else (a test of the bootstrap says so).
    Where all values of a draw are equal there is no interval, which excludes nothing."""
    source = np.random.default_rng(SEED)
    alarms = bootstrapped = 0
    for start in range(0, draws, AT_ONCE):
        values = SHAPES[shape](source, (n, min(AT_ONCE, draws - start)))
        equal = np.ptp(values, axis=0) == 0
        p, asked = p_of(values)
        alarms += int(np.where(equal, Constant(n, 1.0).p <= LEVEL, p <= LEVEL).sum())
        bootstrapped += int((asked & ~equal).sum())
    rare = n * 0.1 if shape == "one in ten differs" else float(n)
    return Cell(shape, n, rare, 1 - alarms / draws, alarms / draws, bootstrapped / draws)


# --- all --------------------------------------------------------------------------------------------------------------


def cells(draws: int, *, sizes: tuple[int, ...] = SIZES, only: str | None = None) -> Iterator[Cell]:
    for n in sizes if only != "numbers" else ():
        for base, new in (
            (0.5, 0.5),
            (0.8, 0.8),
            (0.8, 0.9),
            (0.95, 0.95),
            (0.95, 0.99),
            (0.99, 0.99),
            (0.02, 0.02),
            (0.3, 0.6),
        ):
            for correlation in (0.0, 0.5, 0.9):
                yield true_false(n, base=base, new=new, correlation=correlation, draws=draws)
    for n in (*((FEW,) if sizes == SIZES else ()), *sizes) if only != "scores" else ():
        for shape in SHAPES:
            yield numbers(n, shape, draws=draws)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=SIZES, help="pairs (default: 50 200 1000, and 20 of numbers)"
    )
    parser.add_argument("--only", choices=("scores", "numbers"))
    args = parser.parse_args()
    score: list[float] = []
    print(f"{'what':34} {'n':>5} {'rare':>7} {'held':>7} {'alarms':>7} {'bootstrap':>9}   {args.draws:,} draws a cell")
    for cell in cells(args.draws, sizes=tuple(args.sizes), only=args.only):
        if cell.what.startswith("true"):
            score.append(cell.covered)
        alarms = "" if cell.alarms is None else f"{cell.alarms:7.2%}"
        print(
            f"{cell.what:34} {cell.n:>5} {cell.rare:>7.1f} {cell.covered:>7.2%} {alarms:>7} {cell.bootstrapped:>9.0%}",
            flush=True,
        )
    if score:
        print(f"score intervals: {sum(score) / len(score):.2%} on average, {min(score):.2%} at least")
    return 0


if __name__ == "__main__":
    sys.exit(main())
