"""What a metric is, and `rate`, `mean` and `total` to make your own.

A metric is three pure functions: one outcome to a state, two states to one, a state to an estimate with its n and its
95 % interval. Shards of a run therefore merge exactly, in any order. Where a single outcome has a value of its own, a
fourth function gives that score: runs keep it in scores.jsonl, and comparisons pair it. Where dialogues are asked several
times, `cluster` marks what has been merged of one dialogue, so that the interval can count by dialogue. A manifest names
your own metric as `module:attribute`; the built-in ones are in `builtin`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from operator import add
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar, get_args

import msgspec

from profiler.metrics import clusters, intervals

if TYPE_CHECKING:
    from profiler.core.nouns import Outcome

State = TypeVar("State")
Sums = tuple[int, ...]
Score = int | float | None  # a bool too, which is an int to Python: true/false scores stay true/false in the files
Better = Literal["higher", "lower"]

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)
# The other keys of summary.json: a metric with such a name would hide them.
RESERVED: Final = frozenset(
    [
        "attempts",
        "by_tag",
        "by_tag_other",
        "cost",
        "cost_usd",
        "counts",
        "gap_p50_s",
        "gap_p95_s",
        "latency_s",
        "metrics",
        "n",
        "note",
        "queue_s",
        "reused",
        "run",
        "thresholds",
        "time_s",
        "tokens",
        "tokens_per_s",
        "ttft_s",
    ]
)


class Estimate(msgspec.Struct, frozen=True):
    """The value of a metric. Without data `value` is None and n is 0. `parts` are what the value is made of.

    `repeated` says more where dialogues were asked several times, `left_out` how many dialogues could not count, `note`
    why there is no interval.
    """

    value: float | None
    n: int
    ci95: intervals.Interval | None = None
    parts: dict[str, Estimate] | None = None
    repeated: clusters.Repeated | None = None
    left_out: int | None = None
    note: str | None = None


NO_DATA: Final = Estimate(None, 0)


class Metric(msgspec.Struct, Generic[State], frozen=True, kw_only=True):
    """`contribute` returns None for an outcome that does not count; `finish` gets None when none counted.

    `merge` must not change its arguments. States must be exact (integers, see `intervals.fixed`), or the result depends
    on the order. States that can be hashed are counted, and equal ones are merged once for all.

    `score` is the value of one outcome: true, false or a number, None where it has none. `better` says which way is an
    improvement, None where neither is: a higher refusal rate may be what one wants, or not. `unit` is that of the value.
    A metric that is not `at_top` stands only among the metrics of a summary, and may be named like another of its keys.

    `score_of` tells the same from what the outcome contributed, where that holds it: so an answer is looked at once. Equal
    contributions have one score.

    `cluster` gets what was merged of all answers to one dialogue, and returns a state that tells so; it is called only
    where dialogues are asked several times. Without it such a metric has no interval, for the answers to one dialogue are
    no independent sample.

    The estimate of a metric that is `part_of` another one only adds its parts to those of the other.

    `build` makes the same contribution of an outcome and of what it contributed to the metric that this one `builds_on`; it is
    called where that one was asked before. So an answer is looked through once for both.
    """

    name: str
    contribute: Callable[[Outcome], State | None]
    merge: Callable[[State, State], State]
    finish: Callable[[State | None], Estimate]
    score: Callable[[Outcome], Score] | None = None
    better: Better | None = None
    cluster: Callable[[State], State] | None = None
    part_of: str | None = None
    unit: str | None = None
    at_top: bool = True
    score_of: Callable[[State | None], Score] | None = None
    builds_on: Metric[Any] | None = None
    build: Callable[[Outcome, Any], State | None] | None = None

    def __post_init__(self) -> None:
        if self.better is not None and self.better not in get_args(Better):
            raise ValueError(f"better: found {self.better!r}, expected 'higher', 'lower' or None")
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name) or (self.at_top and self.name in RESERVED):
            raise ValueError(
                f"{self.name!r} cannot name a metric: letters, digits and _ . - and no key of summary.json"
            )


def add_sums(left: Sums, right: Sums) -> Sums:
    return tuple(map(add, left, right))


def rate(name: str, predicate: Callable[[Outcome], bool | None], *, better: Better | None = None) -> Metric[Sums]:
    """The share of outcomes for which `predicate` is true, among those for which it is not None."""

    def contribute(outcome: Outcome) -> Sums | None:
        holds = predicate(outcome)
        return None if holds is None else (1, 1) if holds else (1, 0)

    def score(outcome: Outcome) -> bool | None:
        holds = predicate(outcome)
        return None if holds is None else bool(holds)

    return Metric(
        name=name,
        contribute=contribute,
        merge=add_sums,
        finish=finish_rate,
        score=score,
        better=better,
        cluster=cluster_sums,
        score_of=lambda sums: None if sums is None else sums[1] == 1,
    )


def mean(
    name: str,
    value: Callable[[Outcome], float | None],
    *,
    lower: float | None = None,
    upper: float | None = None,
    better: Better | None = None,
    at_top: bool = True,
) -> Metric[Sums]:
    """The mean of `value` where it is not None. Bounds are a promise about every single value, and are checked."""

    def contribute(outcome: Outcome) -> Sums | None:
        number = value(outcome)
        if number is None:
            return None
        if (lower is not None and number < lower) or (upper is not None and number > upper):
            raise ValueError(f"metric {name!r}: {number!r} is outside its bounds {lower} to {upper}")
        units = _fixed(name, number)
        return 1, units, units * units

    return Metric(
        name=name,
        contribute=contribute,
        merge=add_sums,
        finish=lambda state: finish_mean(state, lower=lower, upper=upper),
        score=value,
        better=better,
        cluster=cluster_sums,
        at_top=at_top,
    )


def total(name: str, value: Callable[[Outcome], float | None], *, better: Better | None = None) -> Metric[Sums]:
    """The sum of `value` where it is not None. It is not a sample, so it has no interval."""

    def contribute(outcome: Outcome) -> Sums | None:
        number = value(outcome)
        return None if number is None else (1, _fixed(name, number))

    return Metric(
        name=name,
        contribute=contribute,
        merge=add_sums,
        finish=_finish_total,
        score=value,
        better=better,
        cluster=lambda state: state,
    )


def _fixed(name: str, number: float) -> int:
    if not math.isfinite(number):
        raise ValueError(f"metric {name!r}: {number!r} is not a finite number")
    return intervals.fixed(number)


def cluster_sums(state: Sums) -> Sums:
    """The state of a rate or mean for one dialogue, followed by what the interval by dialogue needs."""
    return *state, *clusters.of_dialogue(state[0], state[1])


def finish_rate(state: Sums | None) -> Estimate:
    if state is None:
        return NO_DATA
    n, holds, *by_dialogue = state
    if not by_dialogue:
        return Estimate(holds / n, n, intervals.wilson(holds, n))
    sums = clusters.ClusterSums(*by_dialogue)
    effective = clusters.effective_n_of_rate(n, holds, sums)
    more = clusters.repeated(n, holds, holds, sums, unit=1, effective=effective)
    return Estimate(holds / n, n, clusters.rate_interval(n, holds, sums), repeated=more)


def finish_mean(state: Sums | None, *, lower: float | None, upper: float | None) -> Estimate:
    if state is None:
        return NO_DATA
    n, units, squares, *by_dialogue = state
    value = units / (n << intervals.FIXED_BITS)
    if not by_dialogue:
        return Estimate(value, n, intervals.mean_interval(n, units, squares, lower=lower, upper=upper))
    sums = clusters.ClusterSums(*by_dialogue)
    effective = clusters.effective_n(n, units, squares, sums)
    more = clusters.repeated(n, units, squares, sums, unit=1 << intervals.FIXED_BITS, effective=effective)
    return Estimate(value, n, clusters.mean_interval(n, units, sums, lower=lower, upper=upper), repeated=more)


def _finish_total(state: Sums | None) -> Estimate:
    if state is None:
        return NO_DATA
    n, units = state
    return Estimate(units / (1 << intervals.FIXED_BITS), n)
