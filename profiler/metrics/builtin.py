"""The built-in metrics, and what the names under `metrics` in a manifest stand for."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from profiler.core import plugins
from profiler.core.errors import UsageError
from profiler.core.wording import did_you_mean
from profiler.metrics import intervals
from profiler.metrics.metric import NO_DATA, Estimate, Metric, Sums, add_sums, finish_mean, finish_rate, rate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from profiler.core.nouns import Outcome


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
    covered = finish_mean((n, units, squares), lower=0.0, upper=1.0)
    complied = finish_rate((answered, answered - refused))
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
            finish=lambda state: finish_mean(state, lower=0.0, upper=1.0),
        ),
        rate("refusal_rate", _refused),
        rate("completion_rate", _completed),
        Metric(name="geometric_mean", contribute=_joint_sums, merge=add_sums, finish=_finish_geometric),
    )
}


def resolve(names: Sequence[str], *, search_path: Path | None = None) -> tuple[Metric[Any], ...]:
    """Built-in names and `module:attribute`, in the order asked; see `plugins.load` for `search_path`."""
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
    near = did_you_mean(wrong, BUILTIN)
    return near or "the built-in ones are " + ", ".join(BUILTIN) + "; your own are module:attribute"
