"""What summary.json says: a reduction as plain values, in a fixed order and rounded, so that equal outcomes give equal
bytes; and which thresholds those numbers miss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.manifest.settings import Bounds
    from profiler.metrics.histogram import Histogram
    from profiler.metrics.metric import Estimate
    from profiler.metrics.reduction import Reduction
    from profiler.metrics.totals import Totals

HEADLINE_PLACES: Final = 4
PLACES: Final = 6
MONEY_PLACES: Final = 12
QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}
BEYOND_TAGS: Final = "tags after the first 1,000 in alphabetical order, together; a dialogue counts once for each"


def build(reduction: Reduction, run: Mapping[str, Any]) -> dict[str, Any]:
    by_tag, beyond = reduction.by_tag(), reduction.beyond_tags()
    estimates, totals = reduction.estimates(), reduction.totals
    faults = {fault.metric: {"error": fault.reason} for fault in reduction.faults}
    summary: dict[str, Any] = {
        **{name: _rounded(estimate.value, HEADLINE_PLACES) for name, estimate in estimates.items()},
        "metrics": {name: {**shown, **faults.get(name, {})} for name, shown in _shown(estimates).items()},
        "by_tag": {tag: {"n": n, **_shown(found)} for tag, (n, found) in by_tag.items()},
        "counts": _counts(reduction),
        "latency_s": _times(totals.latency),
        "queue_s": _times(totals.queue),
        "tokens": {**totals.tokens, "n": totals.sums["usage_known"]},
        "attempts": _attempts(totals),
        "cost_usd": _rounded(totals.cost_usd, MONEY_PLACES),
        "cost": {"known": totals.sums["cost_known"], "unknown": totals.sums["cost_unknown"]},
        "run": dict(run),
    }
    if beyond is not None:
        n, found = beyond
        summary["by_tag_other"] = {"note": BEYOND_TAGS, "n": n, **_shown(found)}
    return summary


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places)


def _shown(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {
        name: {
            "value": _rounded(estimate.value, PLACES),
            "n": estimate.n,
            "ci95": None if estimate.ci95 is None else [round(bound, PLACES) for bound in estimate.ci95],
            **_shown(estimate.parts or {}),
        }
        for name, estimate in estimates.items()
    }


def _counts(reduction: Reduction) -> dict[str, Any]:
    types: dict[str, int] = {str(kind): count for kind, count in reduction.types.items()}
    answered = reduction.total - types["error"]
    return {"total": reduction.total, "answered": answered, **types, "errors": reduction.errors}


def _times(histogram: Histogram) -> dict[str, Any]:
    quantiles = {name: _rounded(histogram.quantile(q), PLACES) for name, q in QUANTILES.items()}
    return {**quantiles, "mean": _rounded(histogram.mean, PLACES), "n": histogram.n}


def _attempts(totals: Totals) -> dict[str, Any]:
    return {
        "total": totals.known("attempts", given="attempts_known"),
        "retried": totals.known("retried", given="attempts_known"),
        "n": totals.sums["attempts_known"],
    }


def check_thresholds(summary: Mapping[str, Any], bounds: Mapping[str, Bounds]) -> list[str]:
    """What failed, a sentence each. Compared is the number that people read, rounded to 4 places. Other numbers
    than metrics have dotted names, like `latency_s.p95`."""
    return [sentence for name, limits in bounds.items() for sentence in _missed(name, _number(summary, name), limits)]


def _number(summary: Mapping[str, Any], name: str) -> float | None:
    value: Any = summary
    for part in [name] if name in summary else name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _missed(name: str, value: float | None, limits: Bounds) -> list[str]:
    if value is None:
        return [f"{name} has no value, so it cannot meet its threshold"]
    missed = []
    if limits.min is not None and not value >= limits.min:
        missed.append(f"{name} is {value:g}, below the minimum of {limits.min:g}")
    if limits.max is not None and not value <= limits.max:
        missed.append(f"{name} is {value:g}, above the maximum of {limits.max:g}")
    return missed
