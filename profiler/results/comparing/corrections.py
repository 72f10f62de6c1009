"""Many questions asked of the same data: p-values corrected for how many they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def holm(ps: Sequence[float]) -> list[float]:
    """Correct p-values so that the chance of even one false alarm among all stays below the level (Holm 1979)."""
    corrected, least = [0.0] * len(ps), 0.0
    for rank, at in enumerate(_by_size(ps)):
        least = max(least, min(1.0, ps[at] * (len(ps) - rank)))
        corrected[at] = least
    return corrected


def holm_of_known(ps: Sequence[float | None]) -> list[float | None]:
    """`holm` where some comparisons have no p: those count for nothing."""
    corrected = iter(holm([p for p in ps if p is not None]))
    return [None if p is None else next(corrected) for p in ps]


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """Correct p-values so that the share of false alarms among the shown differences stays below the level, on average."""
    corrected, most = [0.0] * len(ps), 1.0
    for rank, at in reversed(list(enumerate(_by_size(ps), 1))):
        most = min(most, ps[at] * len(ps) / rank)
        corrected[at] = most
    return corrected


def _by_size(ps: Sequence[float]) -> list[int]:
    return sorted(range(len(ps)), key=ps.__getitem__)
