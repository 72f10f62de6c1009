"""The scores of single outcomes: what a line of scores.jsonl says.

Takes outcomes, a batch at a time, and perhaps what they contribute to the metrics; gives a column of scores for every
metric that has one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from profiler.core import own_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.core.nouns import Outcome
    from profiler.metrics.counted import States
    from profiler.metrics.metric import Metric, Score

PLAIN: Final = frozenset({bool, int, type(None)})


class Scorer:
    """Scores outcomes. A score that raises is null, and the first such of each metric is in `faults`."""

    def __init__(self, metrics: Sequence[Metric[Any]]) -> None:
        self._places = tuple(place for place, metric in enumerate(metrics) if metric.score is not None)
        self._metrics = tuple(metrics[place] for place in self._places)
        self._from_contributions = [
            (place, metric.score_of)
            for place, metric in zip(self._places, self._metrics, strict=True)
            if metric.score_of is not None
        ]
        self.names = tuple(metric.name for metric in self._metrics)
        self.faults: dict[str, str] = {}

    def columns(
        self, batch: Sequence[Outcome], contributions: Sequence[Sequence[Any] | None] | None = None
    ) -> list[list[Score]]:
        """One column a metric, in the order of `names`.

        `contributions` are those of the batch to all metrics, where they are known: many a score follows from them.
        """
        columns: list[list[Score]] = []
        for place, metric in zip(self._places, self._metrics, strict=True):
            contributed = None if contributions is None else contributions[place]
            if metric.score_of is None or contributed is None:
                columns.append(self._column(metric, batch))
            else:
                columns.append(list(map(metric.score_of, contributed)))
        return columns

    @property
    def all_follow(self) -> bool:
        """Whether all scores of an outcome follow from what it contributed."""
        return 0 < len(self._metrics) == len(self._from_contributions)

    def following(self, contributed: States) -> list[Score]:
        """The scores of an outcome that contributed this, in the order of `names`."""
        return [score_of(contributed[place]) for place, score_of in self._from_contributions]

    def _column(self, metric: Metric[Any], batch: Sequence[Outcome]) -> list[Score]:
        score = metric.score
        assert score is not None  # noqa: S101 (only metrics with a score are kept)
        try:
            column = [score(outcome) for outcome in batch]
        except BaseException as error:  # noqa: BLE001 (it may be the user's own; then one by one, to find which)
            own_code.expect_fault(error)
            return [self._one(metric, outcome) for outcome in batch]
        kinds = set(map(type, column))
        if kinds <= PLAIN or (kinds <= {*PLAIN, float} and _finite(column)):
            return column
        return [self._one(metric, outcome) for outcome in batch]

    def _one(self, metric: Metric[Any], outcome: Outcome) -> Score:
        try:
            return _checked(metric.score(outcome))  # type: ignore[misc]
        except BaseException as error:  # noqa: BLE001
            own_code.expect_fault(error)
            self.faults.setdefault(
                metric.name,
                f"metric {metric.name!r} gave no score at dialogue {outcome.dialogue_id!r}: {own_code.said(error)}",
            )
            return None


def _finite(column: Sequence[Score]) -> bool:
    return all(map(math.isfinite, filter(None, column)))


def _checked(score: object) -> Score:
    """The score as a file can hold it: numbers of other libraries become Python numbers."""
    if type(score) in PLAIN:
        return score  # type: ignore[return-value]
    if isinstance(score, (str, bytes)) or not hasattr(score, "__float__"):
        raise TypeError(f"found {score!r}, expected true, false, a number or None")
    if not math.isfinite(number := float(score)):
        raise ValueError(f"{score!r} is not a finite number")
    return number
