"""What a run by several processes says of its sessions: one entry for each command, whatever its workers were.

A worker's wait is a wait of one among several, so sums and the longest wait say what held the run up.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from profiler.money.prices import dollars
from profiler.storage.identity import now

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from profiler.storage.shared_runs.attempt_money import Money


def begun_session(*, processes: int) -> dict[str, Any]:
    return {"started": now("live"), "processes": processes}


def ended_session(
    begun: Mapping[str, Any], *, answered: int, bound_by: Mapping[str, Any] | None, spent: Money
) -> dict[str, Any]:
    return {
        **begun,
        "finished": now("live"),
        "answered": answered,
        "bound_by": bound_by,
        "spent_usd": dollars(spent.spent),
        "maybe_billed_usd": dollars(spent.maybe),
    }


def bound_by_of(workers: Collection[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What kept the workers from going faster: in the words of the one that waited longest, with the waits and push-backs
    of all added up, how full the limits were on the average, and every change that one of them made."""
    if not workers:
        return None
    longest = max(workers, key=lambda each: sum(each["waited_s"].values()))
    limits = {name for each in workers for name in each["in_use"]}
    return {
        "most": longest["most"],
        "waited_s": {name: round(seconds, 3) for name, seconds in sorted(_sums(workers, "waited_s").items())},
        "in_use": {name: round(_sums(workers, "in_use")[name] / len(workers), 3) for name in sorted(limits)},
        "push_backs": dict(sorted(_sums(workers, "push_backs").items())),
        "limits": [change for each in workers for change in each["limits"]],
        "concurrency": [change for each in workers for change in each["concurrency"]],
    }


def _sums(workers: Collection[Mapping[str, Any]], part: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in workers:
        total.update(each[part])
    return total
