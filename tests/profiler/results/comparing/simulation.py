"""How often the intervals of a comparison hold the truth, and how often it cries wolf: by simulation, every cell printed.

    python -m tests.profiler.results.comparing.simulation            # 20,000 draws a cell, about half an hour
    python -m tests.profiler.results.comparing.simulation --draws 2000

True/false scores: pairs drawn from two rates and how far they go together; McNemar and the score interval. Numbers: paired
differences of several shapes; t, or the bootstrap where the rule of the comparison takes it (drawn with numpy here, which
a test compares with ours, for ours would take days). Seeds are fixed.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache
from math import sqrt
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from profiler.metrics.intervals import t_quantile
from profiler.results.comparing.bootstrap import COCHRAN, FEWEST, LEAST_RESAMPLES, UNSEEN
from profiler.results.comparing.distributions import t_above
from profiler.results.comparing.paired_tests import TrueFalse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

DRAWS: Final = 20_000
SEED: Final = 7
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


def by_t(values: Numbers) -> tuple[float, float, float]:
    n, mean = len(values), float(values.mean())
    error = float(values.std(ddof=1)) / sqrt(n)
    reach = t_quantile(0.975, n - 1) * error
    return mean - reach, mean + reach, 2 * t_above(abs(mean) / error, n - 1)


def resampled(values: Numbers, source: np.random.Generator, *, resamples: int) -> tuple[float, float, float]:
    """The studentized bootstrap of Hall's transformation with numpy: the interval, and p."""
    n = len(values)
    mean, error, skewness = float(values.mean()), float(values.std(ddof=1)) / sqrt(n), _skewness(values)
    size = max((n + 1) // 2, n - UNSEEN)
    ratios = np.sort(_ratios((values - mean)[source.integers(0, n, size=(resamples, size))]))
    high = -(-975 * (resamples + 1) // 1000)
    low_ratio, high_ratio = (_turned_back(float(ratios[at]), skewness, n) for at in (-high, high - 1))
    seen = _hall(mean / error, skewness, n)
    tails = (np.sum(ratios >= seen) + 1, np.sum(ratios <= seen) + 1)
    return mean - high_ratio * error, mean - low_ratio * error, min(1.0, 2 * min(tails) / (resamples + 1))


def _ratios(drawn: Numbers) -> Numbers:
    size = drawn.shape[1]
    means = drawn.mean(axis=1)
    around = drawn - means[:, None]
    squared = around * around
    spreads = np.einsum("ij->i", squared)
    cubes = np.einsum("ij,ij->i", squared, around)
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = sqrt(size) * cubes / spreads**1.5
        found: Numbers = _hall(means / np.sqrt(spreads / (size - 1) / size), skewness, size)
    return np.where(spreads > 1e-18, found, np.copysign(np.inf, means))


def _hall(ratio: Any, skewness: Any, n: int) -> Any:
    return ratio + skewness * ratio**2 / (3 * sqrt(n)) + skewness**2 * ratio**3 / (27 * n) + skewness / (6 * sqrt(n))


def _turned_back(ratio: float, skewness: float, n: int) -> float:
    if not skewness or np.isinf(ratio):
        return ratio
    return float(3 * sqrt(n) / skewness * (np.cbrt(1 + skewness / sqrt(n) * (ratio - skewness / (6 * sqrt(n)))) - 1))


def _skewness(values: Numbers) -> float:
    around = values - values.mean()
    return float(sqrt(len(values)) * (around**3).sum() / (around**2).sum() ** 1.5)


def numbers(n: int, shape: str, *, draws: int) -> Cell:
    """Where all values of a draw are equal the sign test speaks, which is of the direction and not of the mean: it counts
    as an alarm, and there is no interval."""
    source = np.random.default_rng(SEED)
    covered = alarms = bootstrapped = 0
    for _ in range(draws):
        values = SHAPES[shape](source, (n, 1))[:, 0]
        if np.ptp(values) == 0:
            alarms += 1
            continue
        low, high, p = by_t(values)
        if n >= FEWEST and n < COCHRAN * _skewness(values) ** 2:
            bootstrapped += 1
            lowest, highest, most = resampled(values, source, resamples=LEAST_RESAMPLES)
            low, high, p = min(low, lowest), max(high, highest), max(p, most)
        covered += low <= 0 <= high
        alarms += p <= LEVEL
    rare = n * 0.1 if shape == "one in ten differs" else float(n)
    return Cell(shape, n, rare, covered / draws, alarms / draws, bootstrapped / draws)


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
