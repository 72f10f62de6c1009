"""Which of several runs to take: the cheapest that is not worse than the best, and those that no other one beats.

Every two runs are compared on the dialogues that both answered; nothing is concluded from two means that stand side by side.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Final

import msgspec

from profiler.results.comparing.comparison import Measured, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.metrics.intervals import Interval
    from profiler.metrics.metric import Better
    from profiler.results.comparing.measured_run import MeasuredRun

ONE_SIDED: Final = 0.025
COST: Final = "cost_usd"
LATENCY: Final = "latency_s"


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A run beside the best one: by how much it differs from it, with a 95 % interval, and whether it is shown (one-sided,
    2.5 %) to be worse by no more than the margin."""

    run: str
    quality: float | None
    cost_usd: float | None
    difference: float | None = None
    ci95: Interval | None = None
    not_worse: bool = False


class Cheapest(msgspec.Struct, frozen=True, kw_only=True):
    metric: str
    margin: float
    best: str
    cheapest: str | None
    candidates: list[Candidate]


class Dominated(msgspec.Struct, frozen=True):
    """`by` is shown better in one of quality, cost and latency, and no worse in the mean of any."""

    run: str
    by: str


def cheapest_not_worse(
    runs: Sequence[MeasuredRun], names: Sequence[str], metric: str, *, better: Better, margin: float
) -> Cheapest | None:
    """None where fewer than two runs have a value."""
    sign = 1.0 if better == "higher" else -1.0
    quality = [mean(run, metric) for run in runs]
    cost = [mean(run, COST) for run in runs]
    scored = [at for at, value in enumerate(quality) if value is not None]
    if len(scored) < 2:
        return None
    best = max(scored, key=lambda at: sign * (quality[at] or 0.0))
    candidates = []
    for at in scored:
        known = Candidate(run=names[at], quality=quality[at], cost_usd=cost[at], not_worse=at == best)
        candidates.append(
            known if at == best else _beside(known, measure(runs[best], runs[at], metric, better=better), margin)
        )
    fit = [each for each in candidates if each.not_worse and each.cost_usd is not None]
    return Cheapest(
        metric=metric,
        margin=margin,
        best=names[best],
        cheapest=min(fit, key=lambda each: each.cost_usd or 0.0).run if fit else None,
        candidates=candidates,
    )


def _beside(candidate: Candidate, measured: Measured, margin: float) -> Candidate:
    test = measured.test
    if test is None:
        return candidate
    p = test.p_at_most(-margin) if measured.sign > 0 else test.p_at_least(margin)
    return msgspec.structs.replace(
        candidate, difference=test.difference, ci95=test.interval, not_worse=p is not None and p <= ONE_SIDED
    )


def dominated(runs: Sequence[MeasuredRun], names: Sequence[str], metric: str, *, better: Better) -> list[Dominated]:
    """Of quality × cost × latency: the runs that one need not take, each with the first that beats it."""
    found: dict[int, int] = {}
    for this, other in permutations(range(len(runs)), 2):
        if this not in found and other not in found and _dominates(runs[other], runs[this], metric, better):
            found[this] = other
    return [Dominated(names[this], names[other]) for this, other in sorted(found.items())]


def _dominates(winner: MeasuredRun, loser: MeasuredRun, metric: str, better: Better) -> bool:
    wanted: dict[str, Better] = {metric: better, COST: "lower", LATENCY: "lower"}
    shown = False
    for name, way in wanted.items():
        if name not in winner.measures or name not in loser.measures:
            continue
        measured = measure(loser, winner, name, better=way)
        if measured.test is None:
            continue
        if measured.sign * measured.test.difference < 0:
            return False
        interval = measured.test.interval
        shown = shown or (interval is not None and (interval[0] > 0 or interval[1] < 0))
    return shown


def mean(run: MeasuredRun, metric: str) -> float | None:
    """Of the dialogues that have a value."""
    values = [value for value in run.measures.get(metric, ()) if value == value]  # noqa: PLR0124 (NaN is not)
    return sum(values) / len(values) if values else None
