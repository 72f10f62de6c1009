"""The columns of a world by their roles, and the names of those of the classic task.

At difficulty 0 the names give the leaks away. From 1 on `naming` draws names, meanings and times from a family of
stories.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from task_kit.leakage_modeling.worlds.law import NUMERIC

if TYPE_CHECKING:
    from task_kit.leakage_modeling.worlds.law import Cycle
    from task_kit.leakage_modeling.worlds.settings import Settings
    from task_kit.leakage_modeling.worlds.signals import Signal

TARGET = "target"
GENERATED_FROM = 1  # the difficulty from which on columns are generated
GROUPED_FROM = 3
AMOUNTS = (0, 1)  # numeric columns that hold amounts of money, where columns are generated
CYCLIC = 4  # the numeric column that may be cyclic, such as an hour of the day


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Names by role; a role that a world does not have is None."""

    numeric: tuple[str, ...]
    low: str  # a category of a few values
    high: str  # a category that has many values from difficulty 2 on
    group: str | None  # rows of one group share what no column shows
    month: str | None
    signals: tuple[Signal, ...]
    classic_signal: str | None  # the signal of difficulty 0
    global_mean: str | None
    category_rate: str | None
    cycle: Cycle | None
    meaning: dict[str, str]  # name: what the dictionary says

    @property
    def known_signals(self) -> tuple[Signal, ...]:
        return tuple(signal for signal in self.signals if signal.known)

    @property
    def late_signals(self) -> tuple[Signal, ...]:
        return tuple(signal for signal in self.signals if not signal.known)

    @property
    def future_signal(self) -> str | None:
        """A column that was measured too late, if there is one."""
        return next((signal.name for signal in self.late_signals), self.classic_signal)

    @property
    def features(self) -> tuple[str, ...]:
        known = (signal.name for signal in self.known_signals)
        return (*self.numeric, self.low, self.high, *(name for name in (self.group, self.month) if name), *known)

    @property
    def leaks(self) -> tuple[str, ...]:
        late = (signal.name for signal in self.late_signals)
        named = (self.classic_signal, self.global_mean, self.category_rate)
        return (*late, *(name for name in named if name))


def classic_columns(settings: Settings) -> Columns:
    """The columns of the classic task, without the leaks that the settings switch off."""
    leaks = {
        "leak_future_signal": "a measurement taken after the outcome",
        "leak_global_target_mean": "mean of the outcome over all rows, later ones included",
        "leak_cat0_rate_full": "mean of the outcome by cat0 over all rows, later ones included",
    }
    future, mean, rate = (name if getattr(settings, name) else None for name in leaks)
    return Columns(
        numeric=("num_0", "num_1", "num_2", "num_3", "num_4"),
        low="cat0",
        high="cat1",
        group=None,
        month=None,
        signals=(),
        classic_signal=future,
        global_mean=mean,
        category_rate=rate,
        cycle=None,
        meaning={
            **{f"num_{i}": "a measurement, known when the prediction is made" for i in range(NUMERIC)},
            "cat0": "a category, known when the prediction is made",
            "cat1": "a category, known when the prediction is made",
            **leaks,
        },
    )
