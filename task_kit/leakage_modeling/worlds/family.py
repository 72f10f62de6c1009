"""A family of stories: a kind of case, what happens to it, and what may be recorded about it.

The families are in `families` (to train on) and `held_out` (to evaluate on; worlds use them only when asked to).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from task_kit.leakage_modeling.worlds.signals import Kind
    from task_kit.leakage_modeling.worlds.timeline import Event

    Named = tuple[str, str]  # stems for a column's name, parted by spaces; what the column holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    name: str
    case: str  # "loan"
    cases: str
    outcome: str  # "whether …"
    ended: str  # "fell into arrears": what the cases with the outcome did
    events: tuple[Event, ...]  # the outcome is the last
    amounts: tuple[Named, ...]  # of the ordinary numeric columns
    indices: tuple[Named, ...]
    cycles: tuple[tuple[str, str, int], ...]  # stems, meaning, period
    low: tuple[Named, ...]
    high: tuple[Named, ...]
    group: Named
    month: Named
    signals: dict[Kind, tuple[Named, ...]]
