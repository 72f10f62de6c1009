"""One dialogue under way: the request it has come to, how often that was tried, what it has cost.

Each part is written by one owner: `Attempts` by the attempt machine, `CallCost` by itself, `draw` by whoever lets the
call through the provider's limits.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from profiler.core.errors import CallError
from profiler.core.nouns import Request
from profiler.engine.calls.call_cost import CallCost
from profiler.engine.calls.stream_times import StreamTimes
from profiler.engine.limits.draw import Draw

# null in any other field of a usage means that none were used
NEVER_ABSENT = frozenset({"input_tokens", "output_tokens"})


class Attempts(msgspec.Struct):
    """How often a dialogue was asked, how long that took, and when the next call may leave."""

    calls: int = 0  # of the whole dialogue
    tries: int = 0  # those that count against max_attempts: of the current request, rate limits aside
    called: float = 0.0  # when the last call left
    ended: float = 0.0  # when its reply came, where a clock is read
    client_s: float = 0.0  # what all calls took together
    give_up_at: float = math.inf
    wait_s: float = 0.0  # before the next call
    held_s: float = 0.0  # waited for limits or the cap, all calls together
    between_s: float = 0.0  # waited between two tries
    failed: CallError | None = None  # how the last call of this request ended


class Job(msgspec.Struct):
    """One dialogue, from its first call to its record."""

    request: Request
    started: float
    attempts: Attempts
    cost: CallCost | None
    draw: Draw | None = None
    replies: tuple[str, ...] = ()
    usage: dict[str, Any] | None = None
    streamed: StreamTimes | None = None  # of the turns before the last


def sum_usage(total: dict[str, Any] | None, usage: dict[str, Any]) -> dict[str, Any]:
    """The usage of the turns before (`total`, which is changed) and of one more; counts in nested objects are added too.

    A count that is null in one turn is unknown for the dialogue, and an empty usage makes all of it unknown. Texts (a
    service tier, say) belong to one turn and are left out.
    """
    if not usage or total == {}:
        return {}
    if total is None:
        total = {}
    _add(total, usage)
    return total


def _add(total: dict[str, Any], usage: dict[str, Any]) -> None:
    for name, value in usage.items():
        if type(value) is int:
            if type(before := total.get(name, 0)) is int:
                total[name] = before + value
        elif value is None:
            if name in NEVER_ABSENT:
                total[name] = None
        elif isinstance(value, dict):  # of a client of one's own it may be a kind of dictionary
            if type(inner := total.get(name)) is not dict:
                inner = total[name] = {}
            _add(inner, value)
