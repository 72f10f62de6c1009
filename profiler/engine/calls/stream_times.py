"""What is kept of the times of a streamed dialogue: few numbers, however many parts it came in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.core.nouns import Reply

# No model writes faster. Where an answer seems to be, its parts were held back somewhere on their way and came together, so
# the time between them is that of reading, not of writing.
SHORTEST_WRITING_S = 0.001
MOST_TOKENS_PER_S = 10_000.0


class StreamTimes(msgspec.Struct, frozen=True):
    """The times of all turns so far: the slowest first token, every gap, and the seconds in which answers were written."""

    turns: int
    ttft_s: float
    gaps_s: tuple[float, ...]
    writing_s: float

    def record_fields(self, usage: dict[str, Any] | None) -> dict[str, float]:
        """The fields for the record; those without a value are left out."""
        found = {"ttft_s": self.ttft_s}
        if self.gaps_s:
            ordered = sorted(self.gaps_s)
            found |= {"gap_p50_s": _at_rank(ordered, 0.5), "gap_p95_s": _at_rank(ordered, 0.95)}
        if (tokens_per_s := self._tokens_per_s(_answer_tokens(usage))) is not None:
            found["tokens_per_s"] = tokens_per_s
        return {name: round(value, 6) for name, value in found.items()}

    def _tokens_per_s(self, tokens: int | None) -> float | None:
        """None where nobody knows how many tokens there were, or the parts came together."""
        if tokens is None or tokens <= self.turns or self.writing_s < SHORTEST_WRITING_S:
            return None
        rate = (tokens - self.turns) / self.writing_s
        return rate if rate <= MOST_TOKENS_PER_S else None


def with_turn(before: StreamTimes | None, reply: Reply) -> StreamTimes | None:
    """The times of a dialogue after one more reply."""
    if reply.ttft_s is None:
        return before
    if before is None:
        return StreamTimes(1, reply.ttft_s, reply.gaps_s, reply.writing_s or 0.0)
    return StreamTimes(
        before.turns + 1,
        max(before.ttft_s, reply.ttft_s),
        before.gaps_s + reply.gaps_s,
        before.writing_s + (reply.writing_s or 0.0),
    )


def _at_rank(ordered: Sequence[float], q: float) -> float:
    """The value of rank ⌈q·n⌉: the rule for all our percentiles."""
    return ordered[max(0, math.ceil(q * len(ordered) - 1e-9) - 1)]


def _answer_tokens(usage: dict[str, Any] | None) -> int | None:
    """The output tokens without those of thoughts, which may be hidden, or shown as a summary of another length."""
    if not usage or (tokens := usage.get("output_tokens")) is None:
        return None
    details = usage.get("output_tokens_details") or {}
    return int(tokens - (details.get("thinking_tokens") or 0))
