"""pass@k and pass^k: how often at least one of k answers to a dialogue would be right, and how often all of them.

Both are estimated without bias from the n answers that a dialogue has, c of them right: 1 - C(n-c, k) / C(n, k), and
C(c, k) / C(n, k), which are the shares among all choices of k answers. A dialogue with fewer than k scores is left out.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb
from typing import TYPE_CHECKING, Any

from profiler.metrics.intervals import FIXED_BITS
from profiler.metrics.metric import NO_DATA, Estimate, Metric, Sums, add_sums, finish_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.core.nouns import Outcome

PER_K = 6  # sums for each k: dialogues, those left out, and for either of the two the sum and that of the squares


def pass_at(metric: Metric[Any], wanted: Sequence[int]) -> Metric[Sums]:
    """The metric that adds these parts to those of `metric`. Scores that are neither true nor false do not count."""
    score = metric.score
    assert score is not None  # noqa: S101 (there is nothing to count of a metric without scores)

    def contribute(outcome: Outcome) -> Sums | None:
        found = score(outcome)
        if found is None:
            return (0, 0)  # a dialogue of which no answer has a score is left out too
        return (1, int(found)) if isinstance(found, bool) else None

    def cluster(state: Sums) -> Sums:
        n, right = state
        return int(n > 0), *[number for k in wanted for number in _of_dialogue(n, right, k)]

    def finish(state: Sums | None) -> Estimate:
        if state is None or not state[0]:
            return NO_DATA
        parts = {}
        for place, k in enumerate(wanted):
            n, left_out, *sums = state[1 + place * PER_K : 1 + (place + 1) * PER_K]
            parts[f"pass@{k}"] = _estimate(n, left_out, sums[:2])
            parts[f"pass^{k}"] = _estimate(n, left_out, sums[2:])
        return Estimate(None, 0, parts=parts)

    return Metric(
        name=f"{metric.name}.pass_at",
        contribute=contribute,
        merge=add_sums,
        finish=finish,
        cluster=cluster,
        part_of=metric.name,
    )


@lru_cache(maxsize=4_096)
def _of_dialogue(n: int, right: int, k: int) -> Sums:
    if n < k:
        return (0, 1, 0, 0, 0, 0)
    choices = comb(n, k)
    one_right = ((choices - comb(n - right, k)) << FIXED_BITS) // choices
    all_right = (comb(right, k) << FIXED_BITS) // choices
    return (1, 0, one_right, one_right * one_right, all_right, all_right * all_right)


def _estimate(n: int, left_out: int, sums: Sequence[int]) -> Estimate:
    """A dialogue is one value here, so its answers need no further care."""
    if not n:
        return Estimate(None, 0, left_out=left_out)
    found = finish_mean((n, *sums), lower=0.0, upper=1.0)
    return Estimate(found.value, n, found.ci95, left_out=left_out)
