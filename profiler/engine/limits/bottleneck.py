"""Puts into a few words what kept a live run from going faster, such as "output tokens 92 %"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORTH_TELLING = 0.1  # of the run's time: a shorter wait did not hold the run up
FEW = 0.1  # of the concurrency: more calls than this at the end are the last round, not stragglers


def words(reason: str) -> str:
    return "retry-after" if reason == "retry_after" else reason.replace("_", " ")


def phrase(
    *,
    elapsed_s: float,
    waited_s: Mapping[str, float],
    in_use: Mapping[str, float],
    slots: int,
    ended: Sequence[float],
) -> str:
    """The longest wait of the run in words.

    `waited_s` says how long calls waited for each reason, `in_use` how full each limit was, and `ended` how many
    seconds each worker was still busy after the last dialogue had begun.
    """
    tail_s = max(ended, default=0.0)
    late = sum(each > tail_s / 2 for each in ended)
    reasons = [(seconds, _line(reason, seconds, in_use)) for reason, seconds in waited_s.items()]
    if 0 < late <= max(1.0, slots * FEW):
        reasons.append((tail_s, f"{late} straggler{'s' if late != 1 else ''}"))
    seconds, found = max(reasons, default=(0.0, ""))
    if seconds > elapsed_s * WORTH_TELLING:
        return found
    return at_once(slots)


def at_once(calls: int) -> str:
    """The words for a run that was held up by nothing but the number of calls at once."""
    return f"{calls:,} call{'s' if calls != 1 else ''} at once"


def calls_at_once(phrase: str) -> int | None:
    """How many calls such words name; None where they name something else."""
    number, _, rest = phrase.partition(" ")
    return int(number.replace(",", "")) if rest in {"call at once", "calls at once"} else None


def _line(reason: str, seconds: float, in_use: Mapping[str, float]) -> str:
    """A limit is named with how full it was, a pause with how long it lasted in all."""
    return percent(reason, in_use[reason]) if reason in in_use else f"{words(reason)} {seconds:.0f} s"


def percent(limit: str, share: float) -> str:
    return f"{words(limit)} {min(share, 1.0) * 100:.0f} %"
