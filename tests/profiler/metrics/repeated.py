"""Answers to dialogues that are asked several times, for the tests of what is counted of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.core.nouns import Outcome
from profiler.metrics.reduction import reduce_outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.metrics.metric import Estimate, Metric


def outcomes(dialogues: Sequence[Sequence[Any]], *, key: str = "completion", **same: Any) -> list[Outcome]:
    """An answer for each value, which stands under `key`."""
    kinds = {"type": "answer", **same}
    return [
        Outcome(**{"dialogue_id": f"d{number}", "repeat": repeat, **kinds, key: value})
        for number, values in enumerate(dialogues)
        for repeat, value in enumerate(values)
    ]


def estimate(metric: Metric[Any], answers: Sequence[Outcome]) -> Estimate:
    reduction = reduce_outcomes(answers, [metric])
    assert not reduction.faults
    return reduction.estimates()[metric.name]
