"""What a threshold may be set on: metrics and parts of them, and other numbers of summary.json by their dotted names."""

from __future__ import annotations

from profiler.manifest.measured import LESS_IS_BETTER as QUICK_IS_BETTER
from profiler.manifest.measured import STREAMED
from profiler.manifest.settings import BUILTIN_METRICS

TIMES = ("p50", "p90", "p95", "p99", "max", "mean")
# Besides metrics. error_rate is the share of dialogues that failed.
MEASURED = (
    *("error_rate", "cost_usd"),
    *(f"{clock}.{which}" for clock in ("latency_s", "queue_s", *STREAMED) for which in TIMES),
    *(f"tokens.{kind}" for kind in ("input", "output", "cache_creation_input", "cache_read_input", "thinking")),
)
PARTS = ("refusal_as_expected.over_refusal", "refusal_as_expected.under_refusal")
SHARES = (*BUILTIN_METRICS, *PARTS, "error_rate", "goodput")  # always from 0 to 1
LESS_IS_BETTER = (*(name for name in MEASURED if not name.startswith("tokens_per_s")), *PARTS, *QUICK_IS_BETTER)
