"""Computes the four metrics of a run, adding up one dialogue at a time.

*Answered* is every dialogue whose type is not `error`; refusals and truncated replies are answers too.

- `fact_coverage`: mean over the answered of (required facts found in the completion) / (required facts); 1 where none
are required. A fact is found when the completion holds it, upper or lower case. When no dialogue has required_facts,
nothing was measured: fact_coverage is None then, and so is geometric_mean.
- `refusal_rate`: refusals / answered.
- `completion_rate`: answered / all.
- `geometric_mean`: sqrt(fact_coverage × (1 − refusal_rate)).

A metric for which there is no data is None, not 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

METRICS: Final = ("fact_coverage", "refusal_rate", "completion_rate", "geometric_mean")
TYPES: Final = ("answer", "refusal", "truncated", "error")
PLACES: Final = 4


class Tally:
    """Counts dialogues and computes every metric from the counts; its memory does not grow with their number."""

    def __init__(self) -> None:
        self.dialogues = 0
        self._answered = 0
        self._refused = 0
        self._covered = 0.0  # the sum of all coverages
        self._judged = 0  # how many coverages that are
        self._requiring = 0  # how many dialogues have required facts, failed ones too

    def add(self, *, type: str, completion: str | None, required_facts: Sequence[str]) -> None:  # noqa: A002 (its name in the logs)
        if type not in TYPES:
            raise ValueError(f"found the type {type!r}, expected one of {', '.join(TYPES)}")
        self.dialogues += 1
        self._requiring += bool(required_facts)
        if type == "error":
            return
        self._answered += 1
        self._refused += type == "refusal"
        if completion is not None or not required_facts:
            self._judged += 1
            self._covered += coverage(completion or "", required_facts)

    def metrics(self, names: Iterable[str] = METRICS) -> dict[str, float | None]:
        """Return the metrics rounded to four places, as summary.json holds them."""
        values = {name: self.value(name) for name in names}
        return {name: None if value is None else round(value, PLACES) for name, value in values.items()}

    def value(self, name: str) -> float | None:
        match name:
            case "fact_coverage":
                return _share(self._covered, self._judged) if self._requiring else None
            case "refusal_rate":
                return _share(self._refused, self._answered)
            case "completion_rate":
                return _share(self._answered, self.dialogues)
            case "geometric_mean":
                return self._geometric_mean()
            case _:
                raise ValueError(f"found the metric {name!r}, expected one of {', '.join(METRICS)}")

    def _geometric_mean(self) -> float | None:
        covered, refused = self.value("fact_coverage"), self.value("refusal_rate")
        return None if covered is None or refused is None else math.sqrt(covered * (1 - refused))


def coverage(completion: str, required_facts: Sequence[str]) -> float:
    """Return the share of the facts that the completion holds."""
    if not required_facts:
        return 1.0
    folded = completion.casefold()
    return sum(fact.casefold() in folded for fact in required_facts) / len(required_facts)


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
