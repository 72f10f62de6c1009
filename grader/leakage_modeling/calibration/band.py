"""Is a pass rate inside the band that is worth training on, and if that is open, how many more episodes would tell?

A verdict is wrong no more often than stated, whatever the true rate, because it rests on the exact interval. It takes
effectively independent episodes (see `intervals.effective`).

Whoever looks again after more episodes has another chance to be misled. So a calibration divides its 5 % among its
looks: the k-th may be wrong in 5 % / (k (k + 1)) of cases, which adds up to 5 % however many looks there are, and for
whatever reason one goes on.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Literal

from scipy.special import bdtr

from grader.leakage_modeling.calibration.intervals import Interval, Tally, clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Callable

BAND = Interval(0.10, 0.40)
POWER = 0.8  # how likely a verdict should be after the further episodes
ERROR = 0.05  # of a calibration, for all its looks together
MOST = 100_000  # a rate that needs more episodes than this lies, for all purposes, on the edge of the band

Position = Literal["in-band", "below", "above", "undecided"]


def error_of_look(look: int) -> float:
    """How often the verdict of this look, counted from 1, may be wrong."""
    return ERROR / (look * (look + 1))


def position(tally: Tally, *, error: float = ERROR) -> Position:
    low, high = clopper_pearson(tally, confidence=1 - error)
    if high < BAND.low:
        return "below"
    if low > BAND.high:
        return "above"
    if low >= BAND.low and high <= BAND.high:
        return "in-band"
    return "undecided"


def fewest_that_certify(*, error: float = ERROR) -> int:
    """The smallest number of independent episodes with which some outcome is certainly in the band."""
    n = 1
    while not _passes_in_band(n, error=error):
        n += 1
    return n


def more_needed(tally: Tally, *, error: float = ERROR, next_error: float | None = None) -> int | None:
    """How many more independent episodes make a verdict likely, if the true rate is what it looks like now.

    `error` is that of this look, `next_error` that of the next. 0 when there is a verdict already. None when the rate
    looks like an edge of the band, where no number would tell.
    """
    if position(tally, error=error) != "undecided":
        return 0
    later = error if next_error is None else next_error
    rate = (tally.passed + 0.5) / (tally.episodes + 1)
    have = round(tally.episodes)
    low, high = have, max(2 * have, 16)
    while _chance_of_verdict(high, rate=rate, error=later) < POWER:
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if _chance_of_verdict(middle, rate=rate, error=later) < POWER:
            low = middle
        else:
            high = middle
    return high - have


def _passes_in_band(n: int, *, error: float) -> range:
    """The numbers of passes among n episodes that are certainly in the band; they are consecutive."""
    first = _first(n, lambda passed: _interval(passed, n, error).low >= BAND.low)
    last = _first(n, lambda passed: _interval(passed, n, error).high > BAND.high)
    return range(first, max(first, last))


def _interval(passed: int, n: int, error: float) -> Interval:
    return clopper_pearson(Tally(passed, n), confidence=1 - error)


def _chance_of_verdict(n: int, *, rate: float, error: float) -> float:
    inside = _passes_in_band(n, error=error)
    below = _first(n, lambda passed: _interval(passed, n, error).high >= BAND.low)
    above = _first(n, lambda passed: _interval(passed, n, error).low > BAND.high)
    in_band = _at_most(inside.stop - 1, n, rate) - _at_most(inside.start - 1, n, rate) if inside else 0.0
    return in_band + _at_most(below - 1, n, rate) + 1 - _at_most(above - 1, n, rate)


def _first(n: int, holds: Callable[[int], bool]) -> int:
    """The smallest number of passes, 0 to n, from which on `holds` is true; n + 1 if it never is."""
    return bisect_left(range(n + 1), True, key=holds)


def _at_most(passed: int, n: int, rate: float) -> float:
    return 0.0 if passed < 0 else float(bdtr(passed, n, rate))
