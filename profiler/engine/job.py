"""One dialogue on its way: the request it is at, how often that was tried, what it has cost.

Everything here is state. Each part has one owner that writes it: `Attempts` the attempt machine, `CallCost` itself,
`draw` whoever lets the call through the provider's limits.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from profiler.core.errors import CallError
from profiler.core.nouns import Request
from profiler.engine.call_cost import CallCost
from profiler.engine.limits.draw import Draw

NEVER_ABSENT = frozenset({"input_tokens", "output_tokens"})  # null elsewhere in a usage means "none were used"


class Attempts(msgspec.Struct):
    """How often a dialogue was asked, how long that took, and what has to happen before the next call."""

    calls: int = 0  # all of the dialogue
    tries: int = 0  # those that count against max_attempts: of this request only, and without rate limits
    called: float = 0.0  # when the last call left
    client_s: float = 0.0  # what all calls took together
    give_up_at: float = math.inf
    wait_s: float = 0.0  # before the next call
    failed: CallError | None = None  # how the last call of this request ended


class Job(msgspec.Struct):
    """One dialogue on its way, from its first call to its record."""

    request: Request
    started: float
    attempts: Attempts
    cost: CallCost | None
    draw: Draw | None = None
    replies: tuple[str, ...] = ()
    usage: dict[str, Any] | None = None


def sum_usage(total: dict[str, Any] | None, usage: dict[str, Any]) -> dict[str, Any]:
    """The usage of several turns together: whole numbers are added up, also those of nested objects.

    What nobody knows of one turn is unknown of the dialogue: a count that is null there, or all of it when its usage is
    empty. Texts such as a service tier belong to one turn and are left out.
    """
    return {} if not usage or total == {} else _added(total or {}, usage)


def _added(total: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
    total = dict(total)
    for name, value in usage.items():
        before = total.get(name, 0)
        if type(value) is int and type(before) is int:
            total[name] = before + value
        elif isinstance(value, dict):
            total[name] = _added(before if isinstance(before, dict) else {}, value)
        elif value is None and name in NEVER_ABSENT:
            total[name] = None
    return total
