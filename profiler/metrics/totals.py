"""What is counted besides metrics: tokens, money, attempts and times.

Sums are exact integers and times are histograms, so both merge, in memory that does not grow. A number that cannot be
true is refused before it spoils a sum.
"""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, get_args

from profiler.core.nouns import LARGEST_COUNT, Outcome, RecordType
from profiler.manifest.measured import STREAMED
from profiler.metrics.histogram import LARGEST_VALUE
from profiler.metrics.intervals import FIXED_BITS
from profiler.metrics.percentiles import Percentiles
from profiler.money.prices import PICO

if TYPE_CHECKING:
    from profiler.metrics.histogram import Histogram

LARGEST_COST: Final = 1e9
FIXED_ONE: Final = float(1 << FIXED_BITS)

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
        self.times = {name: Percentiles() for name in ("latency_s", "queue_s", *STREAMED)}

    def add(self, batch: list[Outcome]) -> None:
        if not set(TYPES).issuperset([outcome.type for outcome in batch]):
            raise BadOutcome(f"type: one of {', '.join(TYPES)} is expected, found {batch[0].type!r}")
        answered = [outcome for outcome in batch if outcome.type != "error"]
        self._add_times("latency_s", [time for outcome in answered if (time := outcome.latency_s) is not None])
        self._add_times("queue_s", queued := [time for outcome in answered if (time := outcome.queue_s) is not None])
        if streamed := [outcome for outcome in answered if outcome.ttft_s is not None]:
            for name in STREAMED:
                self._add_times(name, [time for time in map(attrgetter(name), streamed) if time is not None])
        if any(queued):  # of that time these are parts
            self.sums.update(
                held=_fixed_sum("held_s", [outcome.held_s for outcome in answered]),
                between=_fixed_sum("between_s", [outcome.between_s for outcome in answered]),
            )
        if answered and answered[0].repeat is not None:
            self._add_by_dialogue([outcome for outcome in answered if outcome.latency_s])
        usages = [usage for outcome in batch if (usage := outcome.usage) is not None]
        costs = [cost for outcome in batch if (cost := outcome.cost_usd) is not None]
        attempts = [count for outcome in batch if (count := outcome.attempts) is not None]
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
        for name, times in other.times.items():
            self.times[name].merge(times)

    @property
    def latency(self) -> Histogram:
        return self.times["latency_s"].histogram

    @property
    def time_s(self) -> dict[str, float]:
        """Where the time of all answered dialogues went; the parts are the whole of it. Empty where nothing was timed."""
        at_provider, waited = self.latency.total, self.times["queue_s"].histogram.total
        held, between = (self.sums[name] / FIXED_ONE for name in ("held", "between"))
        if not waited:
            return {}
        in_line = max(0.0, waited - held - between)
        return {"in_line": in_line, "held_by_limits": held, "at_provider": at_provider, "between_tries": between}

    def _add_times(self, name: str, times: list[float]) -> None:
        try:
            self.times[name].add(times)
        except (ValueError, TypeError) as error:
            raise BadOutcome(f"{name}: {error}") from error

    def _add_by_dialogue(self, measured: list[Outcome]) -> None:
        """Where dialogues are asked several times, their answers belong together."""
        for name, times in self.times.items():
            value_of = attrgetter(name)
            pairs = [(outcome.dialogue_id, value_of(outcome)) for outcome in measured]
            times.add_by_dialogue([pair for pair in pairs if pair[1] is not None])

    def as_json(self) -> dict[str, Any]:
        return {"sums": dict(self.sums), "times": {name: times.as_json() for name, times in self.times.items()}}

    @staticmethod
    def from_json(found: dict[str, Any]) -> Totals:
        totals = Totals()
        totals.sums.update(found["sums"])
        totals.times = {name: Percentiles.from_json(times) for name, times in found["times"].items()}
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


def _fixed_sum(name: str, times: list[float | None]) -> int:
    known = [time for time in times if time is not None]
    if not all(0 <= time <= LARGEST_VALUE for time in known):
        raise BadOutcome(f"{name}: a number from 0 to {LARGEST_VALUE:g} is expected, found {known[0]!r}")
    return sum([int(time * FIXED_ONE) for time in known])


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
