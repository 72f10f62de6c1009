"""The content of summary.json: a reduction as plain values, and the thresholds that they miss.

Order and rounding are fixed, so that equal outcomes give equal bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from profiler.manifest.measured import STREAMED
from profiler.manifest.settings import Bounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.metrics.metric import Estimate
    from profiler.metrics.percentiles import Percentiles
    from profiler.metrics.reduction import Reduction
    from profiler.metrics.totals import Totals

THRESHOLDS: Final = "thresholds"
HEADLINE_PLACES: Final = 4
PLACES: Final = 6
EFFECTIVE_PLACES: Final = 2
MONEY_PLACES: Final = 12
QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}
BEYOND_TAGS: Final = "tags after the first 1,000 in alphabetical order, together; a dialogue counts once for each"


def build(reduction: Reduction, run: Mapping[str, Any]) -> dict[str, Any]:
    by_tag, beyond = reduction.by_tag(), reduction.beyond_tags()
    estimates, totals = reduction.estimates(), reduction.totals
    faults = {fault.metric: {"error": fault.reason} for fault in reduction.faults}
    at_top = {metric.name for metric in reduction.metrics if metric.at_top}
    units = {metric.name: {"unit": metric.unit} for metric in reduction.metrics if metric.unit is not None}
    summary: dict[str, Any] = {
        **{name: _rounded(found.value, HEADLINE_PLACES) for name, found in estimates.items() if name in at_top},
        "metrics": {
            name: {**shown, **units.get(name, {}), **faults.get(name, {})} for name, shown in _shown(estimates).items()
        },
        "by_tag": {tag: {"n": n, **_shown(found)} for tag, (n, found) in by_tag.items()},
        "counts": _counts(reduction),
        **_times(totals, live=run.get("mode") == "live"),
        "tokens": {**totals.tokens, "n": totals.sums["usage_known"]},
        "attempts": _attempts(totals),
        "cost_usd": _rounded(totals.cost_usd, MONEY_PLACES),
        "cost": {"known": totals.sums["cost_known"], "unknown": totals.sums["cost_unknown"]},
        "run": dict(run),
    }
    if totals.sums["reused"]:
        summary["reused"] = {"n": totals.sums["reused"], "cost_usd": _rounded(totals.reused_cost_usd, MONEY_PLACES)}
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
            **_more(estimate),
            **_shown(estimate.parts or {}),
        }
        for name, estimate in estimates.items()
    }


def _more(estimate: Estimate) -> dict[str, Any]:
    """The keys that a summary has only where there is something to say."""
    found, more = estimate.repeated, dict[str, Any]()
    if found is not None:
        more["dialogues"] = found.dialogues
        more["n_effective"] = round(found.n_effective, EFFECTIVE_PLACES)
        more["variance"] = {"within": _rounded(found.within, PLACES), "between": _rounded(found.between, PLACES)}
    if estimate.left_out is not None:
        more["left_out"] = estimate.left_out
    if estimate.note is not None:
        more["note"] = estimate.note
    return more


def _counts(reduction: Reduction) -> dict[str, Any]:
    types: dict[str, int] = {str(kind): count for kind, count in reduction.types.items()}
    answered = reduction.total - types["error"]
    return {"total": reduction.total, "answered": answered, **types, "errors": reduction.errors}


def _times(totals: Totals, *, live: bool) -> dict[str, Any]:
    """The percentiles of all that was measured. In mock mode times are simulated, and have no interval."""
    found = {
        name: _percentiles(times, intervals=live or name in STREAMED)
        for name, times in totals.times.items()
        if times.histogram.n or name not in STREAMED
    }
    if live and (spent := totals.time_s):
        found["time_s"] = {name: _rounded(seconds, PLACES) for name, seconds in spent.items()}
    return found


def _percentiles(times: Percentiles, *, intervals: bool) -> dict[str, Any]:
    histogram = times.histogram
    quantiles = {name: _rounded(histogram.quantile(q), PLACES) for name, q in QUANTILES.items()}
    found: dict[str, Any] = {**quantiles, "mean": _rounded(histogram.mean, PLACES), "n": histogram.n}
    if intervals and histogram.n:
        found["ci95"] = {
            name: [_rounded(end, PLACES) for end in times.interval(q)] for name, q in QUANTILES.items() if q < 1
        }
    return found


def _attempts(totals: Totals) -> dict[str, Any]:
    return {
        "total": totals.known("attempts", given="attempts_known"),
        "retried": totals.known("retried", given="attempts_known"),
        "n": totals.sums["attempts_known"],
    }


def judged(summary: Mapping[str, Any], bounds: Mapping[str, Bounds]) -> dict[str, Any]:
    """The summary with a verdict for each threshold.

    What is compared is the number that people read, rounded to 4 places. A threshold names a metric, a part of one
    (`refusal_as_expected.over_refusal`), `error_rate`, or another number of the summary, such as `latency_s.p95`.
    """
    found = {name: value for name, value in summary.items() if name != THRESHOLDS}
    verdicts = {name: _verdict(_number(found, name), limits) for name, limits in bounds.items()}
    return {**found, THRESHOLDS: verdicts} if verdicts else found


def bounds_of(summary: Mapping[str, Any]) -> dict[str, Bounds]:
    """The thresholds that a summary was judged by."""
    verdicts = summary.get(THRESHOLDS)
    return {
        name: Bounds(min=verdict.get("min"), max=verdict.get("max"))
        for name, verdict in (verdicts if isinstance(verdicts, dict) else {}).items()
    }


def missed(summary: Mapping[str, Any]) -> list[str]:
    """A sentence for each threshold that was not met."""
    verdicts: Mapping[str, Any] = summary.get(THRESHOLDS) or {}
    return [_sentence(name, verdict) for name, verdict in verdicts.items() if not verdict["met"]]


def _verdict(value: float | None, limits: Bounds) -> dict[str, Any]:
    met = value is not None and not _below(value, limits) and not _above(value, limits)
    return {"value": value, "min": limits.min, "max": limits.max, "met": met}


def _below(value: float, limits: Bounds) -> bool:
    return limits.min is not None and not value >= limits.min


def _above(value: float, limits: Bounds) -> bool:
    return limits.max is not None and not value <= limits.max


def _sentence(name: str, verdict: Mapping[str, Any]) -> str:
    value, limits = verdict["value"], Bounds(min=verdict["min"], max=verdict["max"])
    if value is None:
        return f"{name} has no value, so it cannot meet its threshold"
    if _below(value, limits):
        return f"{name} is {value:g}, below the minimum of {limits.min:g}"
    return f"{name} is {value:g}, above the maximum of {limits.max:g}"


def part_of(summary: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of a summary that may come from a file that somebody else wrote; empty where it is none."""
    found = summary.get(key)
    return found if isinstance(found, dict) else {}


def _number(summary: Mapping[str, Any], name: str) -> float | None:
    if name == "error_rate":
        counts = summary["counts"]
        return round(counts["error"] / counts["total"], HEADLINE_PLACES) if counts["total"] else None
    metric, _, part = name.partition(".")
    found = summary["metrics"].get(metric)
    of_metric = found.get(part) if part and found else found if not part else None
    if isinstance(of_metric, dict) and not isinstance(summary.get(name), (int, float)):
        value: Any = of_metric.get("value")
        return None if value is None else round(value, HEADLINE_PLACES)
    value = summary
    for step in [name] if name in summary else name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
