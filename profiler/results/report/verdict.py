"""What a reader looks for first: items that failed, and items that one run has right and another wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.metrics.metric import Better
    from profiler.storage.reading.item import Item

Change = Literal[
    "", "right → wrong", "wrong → right", "lower score", "higher score", "became an error", "was an error", "other type"
]

CHANGES: Final[tuple[Change, ...]] = get_args(Change)
FLIPS: Final = frozenset({"right → wrong", "wrong → right"})
SHARE: Final = "fact_coverage"  # the built-in score that is a share: less than all of it is a failure


def measures_of(item: Item) -> dict[str, float | None]:
    """Numbers of one answer. How long a failure took, and what it cost, says nothing of answers."""
    record = item.record
    if item.type == "error":
        return dict.fromkeys(MEASURES)
    usage = record.get("usage") or {}
    reused, once = record.get("reused_from") is not None, record.get("reused_cost_usd")
    return {
        "latency_s": None if reused else _number(record.get("latency_s")),
        "ttft_s": None if reused else _number(record.get("ttft_s")),
        "gap_p95_s": None if reused else _number(record.get("gap_p95_s")),
        "tokens_per_s": None if reused else _number(record.get("tokens_per_s")),
        "output_tokens": _number(usage.get("output_tokens")),
        "input_tokens": _number(usage.get("input_tokens")),
        "cost_usd": _number(record.get("cost_usd") if once is None else once),
    }


MEASURES: Final = (
    *("latency_s", "ttft_s", "gap_p95_s", "tokens_per_s"),
    *("output_tokens", "input_tokens", "cost_usd"),
)


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and value >= 0 else None


def failed(item: Item, better: Mapping[str, Better]) -> bool:
    """An error, a refusal that nobody expected, an answer where a refusal was expected, or a score that is wrong."""
    if item.type in {"error", "truncated"}:
        return True
    if (item.type == "refusal") != (item.request.get("expect_refusal") is True):
        return True
    return any(_wrong(name, score, better) for name, score in item.scores.items())


def _wrong(name: str, score: Any, better: Mapping[str, Better]) -> bool:
    judged = isinstance(score, bool) or (name == SHARE and score is not None)
    return judged and name in better and not perfect(name, score, better)


def perfect(name: str, score: Any, better: Mapping[str, Better]) -> bool:
    """Whether no score could be better than this one. False for most numbers, which have no known best value."""
    if name == SHARE:
        return bool(score >= 1)
    return isinstance(score, bool) and score == (better[name] == "higher")


def change(base: Item | None, new: Item | None, better: Mapping[str, Better]) -> Change:
    """What became of an item between two runs; the worst that can be said of it."""
    if base is None or new is None:
        return ""
    if (base.type == "error") != (new.type == "error"):
        return "became an error" if new.type == "error" else "was an error"
    shared = [name for name in base.scores if name in new.scores and name in better]
    gaps = [_gap(base.scores[name], new.scores[name], better[name]) for name in shared]
    flips = [gap for gap, flip in gaps if flip]
    others = [gap for gap, _ in gaps if gap]
    if flips:
        return "right → wrong" if min(flips) < 0 else "wrong → right"
    if others:
        return "lower score" if min(others) < 0 else "higher score"
    return "" if base.type == new.type else "other type"


def _gap(base: Any, new: Any, better: Better) -> tuple[float, bool]:
    """By how much a score got better, and whether a true/false score flipped."""
    if base is None or new is None:
        return 0, False
    gap = (new - base) * (1 if better == "higher" else -1)
    return gap, bool(gap) and isinstance(base, bool) and isinstance(new, bool)
