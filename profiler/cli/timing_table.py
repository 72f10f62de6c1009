"""How quick the answers of a live run were: percentiles with their intervals, and where the time of its dialogues went.

A summary may come from a file that somebody else wrote, so any value may be missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from profiler.cli.table import NOTHING, Table, count_cell, number_cell
from profiler.metrics.summary import part_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MEASURES: Final = ("latency_s", "ttft_s", "gap_p50_s", "gap_p95_s", "tokens_per_s", "queue_s")
PERCENTILES: Final = ("p50", "p90", "p95", "p99")
WAYS: Final = {
    "at_provider": "at the provider",
    "in_line": "in line for a slot",
    "held_by_limits": "held by limits",
    "between_tries": "between tries",
}


def of(summary: Mapping[str, Any]) -> Iterator[Table]:
    """The table of times. Only percentiles with intervals are shown, which simulated times (mock) do not have."""
    told = {name: found for name in MEASURES if "ci95" in (found := part_of(summary, name))}
    if told:
        yield Table(
            title="Times",
            caption="percentiles over answers; in brackets behind a measure, how many have it",
            header=("measure", "percentile", "value", "95% interval"),
            rows=tuple(row for name, found in told.items() for row in _rows(name, found)),
        )


def _rows(name: str, found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    n = found.get("n")
    for number, percentile in enumerate(PERCENTILES):
        label = f"{name} ({count_cell(n)})" if number == 0 else ""
        interval = part_of(found, "ci95").get(percentile)
        yield label, percentile, number_cell(found.get(percentile)), _interval(interval, n)
    yield "", "max", number_cell(found.get("max")), ""


def _interval(ends: object, n: object) -> str:
    """An interval in words. An end that so few values cannot tell is shown as beyond the largest or smallest of them."""
    if not (isinstance(ends, list) and len(ends) == 2):
        return NOTHING
    low = f"≤ the smallest of {count_cell(n)}" if ends[0] is None else number_cell(ends[0])
    high = f"≥ the largest of {count_cell(n)}" if ends[1] is None else number_cell(ends[1])
    return f"{low} .. {high}"


def where_time_went(summary: Mapping[str, Any]) -> list[str]:
    spent = {name: value for name, value in part_of(summary, "time_s").items() if isinstance(value, (int, float))}
    whole = sum(spent.values())
    if not whole:
        return []
    told = [f"{words} {spent[name] / whole:.1%}" for name, words in WAYS.items() if spent.get(name)]
    return [f"time of the dialogues {whole:,.1f} s: {', '.join(told)}"]
