"""What a scenario is given (`Scale`) and what it returns (`Figure`).

A scenario is a module of `benchmarks.scenarios` with one function, `measure`. Its docstring says what is measured, and
against what.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Value = TypeVar("Value")
PATIENT = 5  # runs; with so many, the largest sizes are measured too


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """How much to measure, and a folder for files."""

    folder: Path
    runs: int = 3
    quick: bool = False
    peers: bool = True
    words: list[str] = msgspec.field(default_factory=list)

    @property
    def few(self) -> int:
        """How often to measure what takes long."""
        return (self.runs + 1) // 2

    def say(self, words: str) -> None:
        """Add something to read beside the figures, such as what could not be measured."""
        if words not in self.words:
            self.words.append(words)

    def pick(self, full: int, *, quick: int, usual: int | None = None) -> int:
        """A size: `full`, for which the goals are meant, or `quick`, which only shows that the scenario works.

        Where the full size takes most of a minute, it is used only in measurements of many runs; others use `usual`.
        """
        if self.quick:
            return quick
        return full if usual is None or self.runs >= PATIENT else usual


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number, and its goal if there is one. A ratio has no unit."""

    name: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        enough = self.at_least is None or self.value >= self.at_least
        return enough and (self.at_most is None or self.value <= self.at_most)


class Scenario(Protocol):
    """A module with a function `measure`."""

    @property
    def __name__(self) -> str: ...

    @property
    def measure(self) -> Callable[[Scale], list[Figure]]: ...


def median(
    name: str,
    values: Sequence[float],
    *,
    unit: str = "",
    at_least: float | None = None,
    at_most: float | None = None,
    note: str = "",
) -> Figure:
    """The median of several measurements, with the least and the greatest of them."""
    return Figure(
        name=name,
        value=statistics.median(values),
        unit=unit,
        at_least=at_least,
        at_most=at_most,
        low=min(values),
        high=max(values),
        note=note,
    )


def alternate(runs: int, *sides: Callable[[], Value]) -> list[tuple[Value, ...]]:
    """Measure the sides in turn, A B A B …, so that a machine which slows down does so for all of them.

    Returns a tuple for each side; values at the same place in them were measured next to each other.
    """
    rounds = [[side() for side in sides] for _ in range(runs)]
    return list(zip(*rounds, strict=True))


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Each measurement divided by its neighbour on the other side."""
    return [a / b for a, b in zip(over, under, strict=True)]
