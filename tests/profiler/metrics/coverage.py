"""How often the intervals of repeated answers hold the truth: by simulation with our own intervals, every cell printed.

    python -m tests.profiler.metrics.coverage            # 20,000 draws a cell, about fifteen minutes of one core
    python -m tests.profiler.metrics.coverage --draws 2000

A dialogue has a rate or a mean of its own, and its answers lie around it; `alike` is the correlation of two answers to one
dialogue. With `missing`, so many of the answers have no score. Seeds are fixed. What comes out within two standard errors
of a bound that is promised is drawn five times as often.
"""

from __future__ import annotations

import argparse
import math
import sys
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from profiler.metrics import clusters
from profiler.metrics.clusters import ClusterSums
from profiler.metrics.intervals import FIXED_BITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Counts = NDArray[np.int64]

DRAWS: Final = 20_000
AT_ONCE: Final = 1_000  # draws that are in memory at a time
SEED: Final = 15
GRID: Final = 16  # numbers are drawn as multiples of 2^-16, so that their sums are exact here too
BOUNDS: Final = {"normal": (None, None), "skewed": (None, None), "shares of three facts": (0.0, 1.0)}
SKEWED_FROM: Final = 100  # dialogues; with fewer, Student's t itself holds less than it says


FEW_DIALOGUES: Final = (0.92, 1.0)  # what is promised
MANY_DIALOGUES: Final = (0.94, 0.965)  # from 100 on


class Setting(NamedTuple):
    """`share` is the rate of a true/false score, or the shape of numbers."""

    dialogues: int
    repeats: int
    share: float | str
    alike: float
    missing: float = 0.0


SETTINGS: Final = (
    *(Setting(*each) for each in product((20, 50, 100, 200, 500), (3, 10), (0.1, 0.3, 0.5), (0, 0.1, 0.3, 0.6, 0.9))),
    *(Setting(*each, missing=0.3) for each in product((20, 100), (5,), (0.1, 0.5), (0, 0.3, 0.9))),
    *(
        Setting(*each)
        for each in product((20, 50, 100, 200), (3, 10), BOUNDS, (0, 0.3, 0.9))
        if each[2] != "skewed" or each[0] >= SKEWED_FROM
    ),
    *(Setting(*each, missing=0.3) for each in product((20, 100), (5,), ("normal",), (0, 0.3, 0.9))),
)


def covered(setting: Setting, *, draws: int) -> float:
    """The share of intervals that hold the true rate or mean."""
    source, held = np.random.default_rng(SEED), 0
    look = _holds_rate if isinstance(setting.share, float) else _holds_mean
    for begin in range(0, draws, AT_ONCE):
        held += look(setting, source, min(AT_ONCE, draws - begin))
    return held / draws


def promised(setting: Setting) -> tuple[float, float]:
    return FEW_DIALOGUES if setting.dialogues < 100 else MANY_DIALOGUES


def surely_covered(setting: Setting, *, draws: int) -> float:
    share = covered(setting, draws=draws)
    error = math.sqrt(share * (1 - share) / draws)
    at_a_bound = any(abs(share - bound) < 2 * error for bound in promised(setting))
    return covered(setting, draws=5 * draws) if at_a_bound else share


def _sizes(setting: Setting, source: np.random.Generator, draws: int) -> Counts:
    shape = (draws, setting.dialogues)
    return source.binomial(setting.repeats, 1 - setting.missing, size=shape).clip(min=1)


def _holds_rate(setting: Setting, source: np.random.Generator, draws: int) -> int:
    share, alike = float(setting.share), setting.alike
    sizes = _sizes(setting, source, draws)
    rates: Any = share
    if alike:
        spread = (1 - alike) / alike
        rates = source.beta(share * spread, (1 - share) * spread, size=sizes.shape)
    holds = source.binomial(sizes, rates)
    found = [_rate_interval(*sums) for sums in _sums(sizes, holds)]
    return sum(low <= share <= high for low, high in found)


@lru_cache(maxsize=1 << 16)
def _rate_interval(n: int, holds: int, *sums: int) -> tuple[float, float]:
    return clusters.rate_interval(n, holds, ClusterSums._make([*sums, 0]))  # the last of them decides no interval


def _holds_mean(setting: Setting, source: np.random.Generator, draws: int) -> int:
    lower, upper = BOUNDS[str(setting.share)]
    sizes = _sizes(setting, source, draws)
    answers = _numbers(setting, source, (*sizes.shape, setting.repeats))
    scored = np.arange(setting.repeats) < sizes[..., None]
    totals = (np.round(answers * (1 << GRID)).astype(np.int64) * scored).sum(axis=-1)
    truth = 1 / 2 if lower is not None else 0.0
    shift, held = FIXED_BITS - GRID, 0
    for n, total, dialogues, n_n, n_total, total_total in _sums(sizes, totals):
        sums = ClusterSums(dialogues, n_n, n_total << shift, total_total << 2 * shift, 0)
        interval = clusters.mean_interval(n, total << shift, sums, lower=lower, upper=upper)
        held += interval is not None and interval[0] <= truth <= interval[1]
    return held


def _numbers(setting: Setting, source: np.random.Generator, shape: tuple[int, ...]) -> Numbers:
    """Numbers around the means of their dialogues; all together have the mean 0, or 1/2 where they are shares."""
    alike, middles = setting.alike, (*shape[:2], 1)
    if setting.share == "shares of three facts":
        spread = (1 - alike) / alike / 2 if alike else 0.0
        rates: Any = source.beta(spread, spread, size=middles) if alike else 0.5
        return source.binomial(3, rates, size=shape) / 3
    draw = source.normal if setting.share == "normal" else _skewed(source)
    found: Numbers = np.sqrt(alike) * draw(size=middles) + np.sqrt(1 - alike) * draw(size=shape)
    return found


def _skewed(source: np.random.Generator) -> Callable[..., Numbers]:
    return lambda size: np.subtract(source.exponential(size=size), 1)


def _sums(sizes: Counts, totals: Counts) -> list[tuple[int, ...]]:
    """Of each draw: answers, their total, and what the dialogues add to the state."""
    columns = [sizes.sum(1), totals.sum(1), (sizes > 0).sum(1)]
    columns += [(sizes * sizes).sum(1), (sizes * totals).sum(1), (totals * totals).sum(1)]
    return list(zip(*[column.tolist() for column in columns], strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--draws", type=int, default=DRAWS)
    draws = parser.parse_args().draws
    print(
        f"{'what':22} {'dialogues':>9} {'repeats':>7} {'missing':>7} {'alike':>5} {'held':>7}   {draws:,} draws a cell"
    )
    shares, broken = [], False
    for setting in SETTINGS:
        share = surely_covered(setting, draws=draws)
        shares.append((setting.dialogues, share))
        low, high = promised(setting)
        broken = broken or not low <= share <= high
        what = f"rate {setting.share:g}" if isinstance(setting.share, float) else setting.share
        print(
            f"{what:22} {setting.dialogues:>9} {setting.repeats:>7} {setting.missing:>7.0%} {setting.alike:>5.1f} "
            f"{share:>7.2%}",
            flush=True,
        )
    many = [share for dialogues, share in shares if dialogues >= 100]
    print(f"all {len(shares)} cells: at least {min(share for _, share in shares):.2%}")
    print(f"the {len(many)} with 100 dialogues or more: {min(many):.2%} to {max(many):.2%}")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
