"""What a run by several processes says of its sessions: one entry for each command, whatever its workers were.

A worker's wait is a wait of one among several, so sums and the longest wait say what held the run up.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from profiler.engine.limits.bottleneck import at_once, calls_at_once
from profiler.money.prices import dollars
from profiler.storage.identity import now

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from profiler.storage.money import Money


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


def bound_by_of(workers: Collection[Mapping[str, Any]], *, together: int | None = None) -> dict[str, Any] | None:
    """What kept the workers from going faster: in the words of the one that waited longest, with the waits and push-backs
    of all added up, how full the limits were on the average, and every change that one of them made.

    Where it was the number of calls in flight, it is that of all: `together`, or what each of them had.
    """
    if not workers:
        return None
    longest = max(workers, key=lambda each: sum(each["waited_s"].values()))
    most = longest["most"]
    if calls_at_once(most) is not None:
        most = at_once(together or sum(calls_at_once(each["most"]) or 0 for each in workers))
    limits = {name for each in workers for name in each["in_use"]}
    return {
        "most": most,
        "waited_s": {name: round(seconds, 3) for name, seconds in sorted(_sums(workers, "waited_s").items())},
        "in_use": {name: round(_sums(workers, "in_use")[name] / len(workers), 3) for name in sorted(limits)},
        "push_backs": dict(sorted(_sums(workers, "push_backs").items())),
        "limits": [change for each in workers for change in each["limits"]],
        "concurrency": [change for each in workers for change in each["concurrency"]],
    }


def bound_by_of_shards(sessions: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The same of shards. One that was taken up again had as many calls at once as before, not more."""
    told = [each for each in sessions if each.get("bound_by")]
    last_of_each = {each.get("shard"): each["bound_by"] for each in told}
    together = sum(calls_at_once(each["most"]) or 0 for each in last_of_each.values())
    return bound_by_of([each["bound_by"] for each in told], together=together or None)


def _sums(workers: Collection[Mapping[str, Any]], part: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in workers:
        total.update(each[part])
    return total
