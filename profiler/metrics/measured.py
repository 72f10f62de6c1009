"""What was measured of answers, as metrics: the mean of a number over answers, and the share that was quick enough.

Only answers count. How long a failure took, and what it cost, says nothing of them, and an answer that was taken over
from an earlier run was not waited for in this one. Only goodput counts failures: who asked got nothing in time.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from profiler.metrics.metric import RESERVED, Better, mean, rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from profiler.core.nouns import Outcome
    from profiler.manifest.measured import Slo
    from profiler.metrics.metric import Metric

Value = float | None


class Measure(NamedTuple):
    value: Callable[[Outcome], Value]
    unit: str
    better: Better | None


def _output_tokens(outcome: Outcome) -> Value:
    tokens: int | None = (outcome.usage or {}).get("output_tokens")
    return tokens


def _cost(outcome: Outcome) -> Value:
    """What the answer cost. If it was taken over from an earlier run: what it cost there, not the 0 that it costs now."""
    return outcome.cost_usd if outcome.reused_from is None else outcome.reused_cost_usd


NOT_AGAIN: Final = frozenset({"latency_s", "ttft_s", "tokens_per_s"})
MEASURES: Final[dict[str, Measure]] = {
    "latency_s": Measure(attrgetter("latency_s"), "s", "lower"),
    "ttft_s": Measure(attrgetter("ttft_s"), "s", "lower"),
    "output_tokens": Measure(_output_tokens, "tokens", None),
    "cost_usd": Measure(_cost, "USD", "lower"),
    "tokens_per_s": Measure(attrgetter("tokens_per_s"), "tokens/s", "higher"),
}


def measured(name: str, kind: str) -> Metric[Any]:
    measure = MEASURES[kind]
    value = measure.value

    def of_answer(outcome: Outcome) -> Value:
        if outcome.type == "error":
            return None
        if outcome.reused_from is not None and kind in NOT_AGAIN:
            return None
        return value(outcome)

    made = mean(name, of_answer, lower=0, better=measure.better, at_top=name not in RESERVED)
    return msgspec.structs.replace(made, unit=measure.unit)


def goodput(name: str, slo: Slo) -> Metric[Any]:
    """True for an answer within all limits, false for one beyond any, and for every failure; else it has no score."""
    limits = [(attrgetter(field), limit, field == "tokens_per_s") for field, limit in slo.limits.items()]

    def good(outcome: Outcome) -> bool | None:
        if outcome.type == "error":
            return False
        if outcome.reused_from is not None:
            return None
        unknown = False
        for value_of, limit, is_least in limits:
            value = value_of(outcome)
            if value is None:
                unknown = True
            elif value < limit if is_least else value > limit:
                return False
        return None if unknown else True

    return rate(name, good, better="higher")
