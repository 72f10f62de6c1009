"""What is measured: a metric is three pure functions, so that shards of a run merge to the bit.

Comes in: outcomes, one at a time. Goes out: an estimate with its n and its 95 % interval. Does not know of files,
nor of the other outcomes. Use `rate`, `mean` and `total` to write your own and name it `module:attribute`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache
from operator import add
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from profiler.core import plugins
from profiler.core.errors import UsageError
from profiler.metrics import intervals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from profiler.core.nouns import Outcome

State = TypeVar("State")
Sums = tuple[int, ...]

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)
# The other keys of summary.json; a metric of such a name would hide them.
RESERVED: Final = frozenset(
    [
        "attempts",
        "by_tag",
        "by_tag_other",
        "cost",
        "cost_usd",
        "counts",
        "latency_s",
        "metrics",
        "n",
        "note",
        "queue_s",
        "run",
        "tokens",
    ]
)


class Estimate(msgspec.Struct, frozen=True):
    """No data is `value` None with n 0, never 0."""

    value: float | None
    n: int
    ci95: intervals.Interval | None = None


NO_DATA: Final = Estimate(None, 0)


class Metric(msgspec.Struct, Generic[State], frozen=True, kw_only=True):
    """`contribute` says None when an outcome has no say; `finish` gets None when none had.

    `merge` must not change its arguments, and states must be exact (integers, see `stats.fixed`), or else the result
    depends on the order. States that can be hashed are counted and merged once for all equal ones.
    """

    name: str
    contribute: Callable[[Outcome], State | None]
    merge: Callable[[State, State], State]
    finish: Callable[[State | None], Estimate]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name) or self.name in RESERVED:
            raise ValueError(
                f"{self.name!r} cannot name a metric: letters, digits and _ . - and no key of summary.json"
            )


def add_sums(left: Sums, right: Sums) -> Sums:
    return tuple(map(add, left, right))


def rate(name: str, predicate: Callable[[Outcome], bool | None]) -> Metric[Sums]:
    """The share of outcomes for which `predicate` is true, among those for which it is not None."""

    def contribute(outcome: Outcome) -> Sums | None:
        holds = predicate(outcome)
        return None if holds is None else (1, 1) if holds else (1, 0)

    return Metric(name=name, contribute=contribute, merge=add_sums, finish=_finish_rate)


def mean(
    name: str, value: Callable[[Outcome], float | None], *, lower: float | None = None, upper: float | None = None
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
        finish=lambda state: _finish_mean(state, lower=lower, upper=upper),
    )


def total(name: str, value: Callable[[Outcome], float | None]) -> Metric[Sums]:
    """The sum of `value` where it is not None. A sum of all is no sample, so it has no interval."""

    def contribute(outcome: Outcome) -> Sums | None:
        number = value(outcome)
        return None if number is None else (1, _fixed(name, number))

    return Metric(name=name, contribute=contribute, merge=add_sums, finish=_finish_total)


def _fixed(name: str, number: float) -> int:
    if not math.isfinite(number):
        raise ValueError(f"metric {name!r}: {number!r} is not a finite number")
    return intervals.fixed(number)


def _finish_rate(state: Sums | None) -> Estimate:
    if state is None:
        return NO_DATA
    n, holds = state
    return Estimate(holds / n, n, intervals.wilson(holds, n))


def _finish_mean(state: Sums | None, *, lower: float | None, upper: float | None) -> Estimate:
    if state is None:
        return NO_DATA
    n, units, squares = state
    return Estimate(
        units / (n << intervals.FIXED_BITS), n, intervals.mean_interval(n, units, squares, lower=lower, upper=upper)
    )


def _finish_total(state: Sums | None) -> Estimate:
    if state is None:
        return NO_DATA
    n, units = state
    return Estimate(units / (1 << intervals.FIXED_BITS), n)


# Two metrics ask the same question of the same outcomes, a batch after the other.
@lru_cache(maxsize=512)
def _found(facts: tuple[str, ...], text: str) -> int:
    """How many of the facts are in the text. What is in it as it stands needs no folding."""
    missing = [fact for fact in facts if fact not in text]
    if not missing:
        return len(facts)
    folded = text.casefold()
    return len(facts) - len([fact for fact in missing if fact.casefold() not in folded])


def _found_in_any(facts: tuple[str, ...], texts: tuple[str, ...]) -> int:
    folded = [text.casefold() for text in texts]
    return len([fact for fact in facts if any(fact.casefold() in text for text in folded)])


@lru_cache(maxsize=512)
def _share(found: int, required: int) -> Sums:
    """One outcome's n, coverage in units of 2^-60, and its square. There are few, so equal ones are the same object."""
    units = (found << intervals.FIXED_BITS) // required
    return 1, units, units * units


_ALL_FOUND: Final = _share(1, 1)


def _coverage_sums(outcome: Outcome) -> Sums | None:
    """A reply that the log does not hold says nothing, unless nothing was required of it."""
    if outcome.type == "error":
        return None
    facts = outcome.required_facts
    if not facts:
        return _ALL_FOUND
    if outcome.replies:
        return _share(_found_in_any(facts, outcome.replies), len(facts))
    if outcome.completion is None:
        return None
    return _share(_found(facts, outcome.completion), len(facts))


def _refused(outcome: Outcome) -> bool | None:
    return None if outcome.type == "error" else outcome.type == "refusal"


def _completed(outcome: Outcome) -> bool:
    return outcome.type != "error"


def _joint_sums(outcome: Outcome) -> Sums | None:
    """All that a product of two correlated means needs: answered, refused, then n, Σc, Σc², refused, Σc·refused of those
    whose coverage c is known."""
    if outcome.type == "error":
        return None
    refused = 1 if outcome.type == "refusal" else 0
    covered = _coverage_sums(outcome)
    if covered is None:
        return 1, refused, 0, 0, 0, 0, 0
    _, units, squares = covered
    return 1, refused, 1, units, squares, refused, refused * units


def _finish_geometric(state: Sums | None) -> Estimate:
    if state is None or state[2] == 0:
        return NO_DATA
    answered, refused, n, units, squares, *_ = state
    covered = _finish_mean((n, units, squares), lower=0.0, upper=1.0)
    complied = _finish_rate((answered, answered - refused))
    assert covered.value is not None and complied.value is not None and covered.ci95 and complied.ci95  # noqa: S101, PT018
    low, high = intervals.product_interval(
        covered.value, covered.ci95, complied.value, complied.ci95, correlation=_correlation(state)
    )
    value = math.sqrt(covered.value * complied.value)
    return Estimate(value, n, (math.sqrt(low), math.sqrt(high)))


def _correlation(state: Sums) -> float:
    """Of the two means, not of the values: they share only the outcomes whose coverage is known."""
    answered, _, n, units, squares, refused, units_refused = state
    spread = (n * squares - units * units) * (n * refused - refused * refused)
    if spread == 0:
        return 0.0
    together = units * refused - n * units_refused
    return max(-1.0, min(1.0, together / math.isqrt(spread))) * math.sqrt(n / answered)


BUILTIN: Final[dict[str, Metric[Any]]] = {
    metric.name: metric
    for metric in (
        Metric(
            name="fact_coverage",
            contribute=_coverage_sums,
            merge=add_sums,
            finish=lambda state: _finish_mean(state, lower=0.0, upper=1.0),
        ),
        rate("refusal_rate", _refused),
        rate("completion_rate", _completed),
        Metric(name="geometric_mean", contribute=_joint_sums, merge=add_sums, finish=_finish_geometric),
    )
}


def resolve(names: Sequence[str], *, search_path: Path | None = None) -> tuple[Metric[Any], ...]:
    """Built-in names and `module:attribute`, in the order asked; see `own.load` for `search_path`."""
    metrics = tuple(_resolve_one(name, search_path) for name in names)
    seen: dict[str, str] = {}
    for name, metric in zip(names, metrics, strict=True):
        if metric.name in seen:
            raise UsageError(f"metrics: {seen[metric.name]!r} and {name!r} are both named {metric.name!r}")
        seen[metric.name] = name
    return metrics


def _resolve_one(name: str, search_path: Path | None) -> Metric[Any]:
    if name in BUILTIN:
        return BUILTIN[name]
    if ":" not in name:
        raise UsageError(f"metrics: there is no metric {name!r}", hint=_suggest(name))
    return _as_metric(name, plugins.load(name, key="metrics", search_path=search_path))


def _as_metric(name: str, value: object) -> Metric[Any]:
    """A metric, or what makes one without arguments, or anything that has the three functions and a name."""
    if not isinstance(value, Metric) and callable(value):
        try:
            value = value()
        except Exception as error:  # as above
            raise UsageError(
                f"metrics: calling {name!r} without arguments failed: {type(error).__name__}: {error}"
            ) from error
    if isinstance(value, Metric):
        return value
    parts = {part: getattr(value, part, None) for part in ("name", "contribute", "merge", "finish")}
    missing = [part for part, found in parts.items() if found is None]
    if missing:
        raise UsageError(f"metrics: {name!r} is {type(value).__name__} without {', '.join(missing)}, not a metric")
    try:
        return Metric(**parts)  # type: ignore[arg-type]
    except ValueError as error:
        raise UsageError(f"metrics: {name!r}: {error}") from error


def _suggest(wrong: str) -> str:
    near = plugins.nearest(wrong, BUILTIN)
    return near or "the built-in ones are " + ", ".join(BUILTIN) + "; your own are module:attribute"
