"""What is counted besides metrics: tokens, money, attempts and times.

Sums are exact integers and times are histograms, so both merge, in memory that does not grow. A number that cannot be
true is refused before it spoils a sum.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, get_args

from profiler.core.nouns import LARGEST_COUNT, Outcome, RecordType
from profiler.metrics.histogram import Histogram
from profiler.money.prices import PICO

LARGEST_COST: Final = 1e9

TYPES: Final[tuple[RecordType, ...]] = get_args(RecordType)
TOKENS: Final = ("input", "output", "cache_creation_input", "cache_read_input", "thinking")
_USAGE_KEYS: Final = tuple((token, f"{token}_tokens") for token in TOKENS[:-1])


class BadOutcome(ValueError):
    """An outcome holds a number that cannot be true and would spoil a sum. `position` counts from 0."""

    def __init__(self, reason: str, *, position: int = 0, dialogue_id: str = "?") -> None:
        super().__init__(f"dialogue {dialogue_id!r}: {reason}")
        self.reason = reason
        self.position = position


class Totals:
    """Sums of tokens, money and attempts, and histograms of times.

    Times are those of answered outcomes only: how fast a failure came says nothing about how fast an answer comes.
    """

    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()
        self.latency = Histogram()
        self.queue = Histogram()

    def add(self, batch: list[Outcome]) -> None:
        if not set(TYPES).issuperset([outcome.type for outcome in batch]):
            raise BadOutcome(f"type: one of {', '.join(TYPES)} is expected, found {batch[0].type!r}")
        answered = [outcome for outcome in batch if outcome.type != "error"]
        _add_times(self.latency, "latency_s", [outcome.latency_s for outcome in answered])
        _add_times(self.queue, "queue_s", [outcome.queue_s for outcome in answered])
        usages = [outcome.usage for outcome in batch if outcome.usage is not None]
        costs = [outcome.cost_usd for outcome in batch if outcome.cost_usd is not None]
        attempts = [outcome.attempts for outcome in batch if outcome.attempts is not None]
        if reused := [outcome.reused_cost_usd for outcome in batch if outcome.reused_from is not None]:
            before = [cost for cost in reused if cost is not None]
            self.sums.update(reused=len(reused), reused_known=len(before), reused_pico_dollars=_pico_dollars(before))
        self.sums.update(_token_sums(usages))
        self.sums.update(
            usage_known=len(usages),
            pico_dollars=_pico_dollars(costs),
            cost_known=len(costs),
            cost_unknown=len(batch) - len(costs),
            attempts=_whole(attempts, "attempts"),
            attempts_known=len(attempts),
            retried=sum([count > 1 for count in attempts]),
        )

    def merge(self, other: Totals) -> None:
        self.sums.update(other.sums)
        self.latency.merge(other.latency)
        self.queue.merge(other.queue)

    def as_json(self) -> dict[str, Any]:
        return {"sums": dict(self.sums), "latency": self.latency.as_json(), "queue": self.queue.as_json()}

    @staticmethod
    def from_json(found: dict[str, Any]) -> Totals:
        totals = Totals()
        totals.sums.update(found["sums"])
        totals.latency, totals.queue = Histogram.from_json(found["latency"]), Histogram.from_json(found["queue"])
        return totals

    def known(self, name: str, *, given: str) -> int | None:
        """A sum, or None when no outcome says anything of it: unknown is not 0."""
        return self.sums[name] if self.sums[given] else None

    @property
    def tokens(self) -> dict[str, int | None]:
        return {token: self.known(token, given="usage_known") for token in TOKENS}

    @property
    def cost_usd(self) -> float | None:
        return self.sums["pico_dollars"] / PICO if self.sums["cost_known"] else None

    @property
    def reused_cost_usd(self) -> float | None:
        """What the answers of earlier runs once cost, as far as that is known."""
        return self.sums["reused_pico_dollars"] / PICO if self.sums["reused_known"] else None


def fault(outcome: Outcome) -> str | None:
    try:
        Totals().add([outcome])
    except BadOutcome as error:
        return error.reason
    return None


def _add_times(histogram: Histogram, name: str, times: list[float | None]) -> None:
    try:
        histogram.update([time for time in times if time is not None])
    except (ValueError, TypeError) as error:
        raise BadOutcome(f"{name}: {error}") from error


def _token_sums(usages: list[dict[str, Any]]) -> dict[str, int]:
    sums = {token: _column(usages, key) for token, key in _USAGE_KEYS}
    details = [found for usage in usages if (found := usage.get("output_tokens_details")) is not None]
    if not all(isinstance(found, dict) for found in details):
        raise BadOutcome("usage.output_tokens_details: an object is expected")
    return sums | {"thinking": _column(details, "thinking_tokens")}


def _column(usages: list[dict[str, Any]], key: str) -> int:
    return _whole([count for usage in usages if (count := usage.get(key)) is not None], f"usage.{key}")


def _whole(counts: list[Any], name: str) -> int:
    if not counts:
        return 0
    if set(map(type, counts)) != {int} or min(counts) < 0 or max(counts) > LARGEST_COUNT:
        raise BadOutcome(f"{name}: a whole number is expected, found {counts[0]!r}")
    total: int = sum(counts)
    return total


def _pico_dollars(costs: list[float]) -> int:
    if len([cost for cost in costs if 0 <= cost <= LARGEST_COST]) < len(costs):
        raise BadOutcome(f"cost_usd: a number from 0 to {LARGEST_COST:g} is expected, found {costs[0]!r}")
    return sum([round(cost * PICO) for cost in costs])
