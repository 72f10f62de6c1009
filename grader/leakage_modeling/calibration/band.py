"""Is a pass rate inside the band worth training on, and how many more episodes would tell?

In: a tally of (effectively independent) episodes. Out: a verdict that is wrong in at most 5 % of calibrations, whatever
the true rate, because it rests on the exact interval: 2.5 % on either side.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Literal

from scipy.special import bdtr

from grader.leakage_modeling.calibration.intervals import Interval, Tally, clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Callable

BAND = Interval(0.10, 0.40)
POWER = 0.8  # how likely a verdict should be after the episodes that are still asked for
MOST = 100_000  # a rate so near an edge that more episodes than this are needed is, for all purposes, on the edge

Position = Literal["in-band", "below", "above", "undecided"]


def position(tally: Tally, *, band: Interval = BAND) -> Position:
    low, high = clopper_pearson(tally)
    if high < band.low:
        return "below"
    if low > band.high:
        return "above"
    if low >= band.low and high <= band.high:
        return "in-band"
    return "undecided"


def fewest_that_certify(*, band: Interval = BAND) -> int:
    """The smallest number of independent episodes of which any outcome at all is certainly in the band."""
    n = 1
    while not _passes_in_band(n, band=band):
        n += 1
    return n


def more_needed(tally: Tally, *, band: Interval = BAND) -> int | None:
    """How many more independent episodes until a verdict is likely, were the true rate what it looks like now.

    0 when there is a verdict already, None when the rate looks like an edge of the band: no number would tell.
    """
    if position(tally, band=band) != "undecided":
        return 0
    rate = (tally.passed + 0.5) / (tally.episodes + 1)
    have = round(tally.episodes)
    low, high = have, max(2 * have, 16)
    while _chance_of_verdict(high, rate=rate, band=band) < POWER:
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if _chance_of_verdict(middle, rate=rate, band=band) < POWER:
            low = middle
        else:
            high = middle
    return high - have


def _passes_in_band(n: int, *, band: Interval) -> range:
    """The numbers of passes among n episodes that are certainly in the band; they lie side by side."""
    first = _first(n, lambda passed: clopper_pearson(Tally(passed, n)).low >= band.low)
    last = _first(n, lambda passed: clopper_pearson(Tally(passed, n)).high > band.high)
    return range(first, max(first, last))


def _chance_of_verdict(n: int, *, rate: float, band: Interval) -> float:
    inside = _passes_in_band(n, band=band)
    below = _first(n, lambda passed: clopper_pearson(Tally(passed, n)).high >= band.low)
    above = _first(n, lambda passed: clopper_pearson(Tally(passed, n)).low > band.high)
    in_band = _at_most(inside.stop - 1, n, rate) - _at_most(inside.start - 1, n, rate) if inside else 0.0
    return in_band + _at_most(below - 1, n, rate) + 1 - _at_most(above - 1, n, rate)


def _first(n: int, holds: Callable[[int], bool]) -> int:
    """The smallest number of passes, 0 to n, from which on it holds; n + 1 if it never does."""
    return bisect_left(range(n + 1), True, key=holds)


def _at_most(passed: int, n: int, rate: float) -> float:
    return 0.0 if passed < 0 else float(bdtr(passed, n, rate))
