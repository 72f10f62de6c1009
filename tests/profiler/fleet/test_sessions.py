"""What held a run by several up is told of the whole run, not of the share of one."""

from __future__ import annotations

from typing import Any

import pytest

from profiler.fleet.sessions import bound_by_of, bound_by_of_shards


def waits(most: str, *seconds: float) -> dict[str, Any]:
    waited = {"requests": sum(seconds)}
    return {"most": most, "waited_s": waited, "in_use": {}, "push_backs": {}, "limits": [], "concurrency": []}


@pytest.mark.parametrize(
    ("workers", "together", "most"),
    [
        ([waits("13 calls at once"), waits("12 calls at once")], 25, "25 calls at once"),
        ([waits("1 call at once"), waits("1 call at once")], None, "2 calls at once"),
        ([waits("1,500 calls at once"), waits("2,500 calls at once")], None, "4,000 calls at once"),
        ([waits("4 calls at once", 0.1), waits("requests 99 %", 5.0)], 8, "requests 99 %"),
        ([waits("4 calls at once", 5.0), waits("2 stragglers", 0.1)], 8, "8 calls at once"),
    ],
)
def test_the_calls_at_once_are_those_of_all(workers: list[Any], together: int | None, most: str) -> None:
    found = bound_by_of(workers, together=together)
    assert found is not None
    assert found["most"] == most


def test_a_shard_that_was_taken_up_again_has_its_calls_once() -> None:
    sessions: list[dict[str, Any]] = [
        {"shard": "0/2", "bound_by": waits("8 calls at once")},
        {"shard": "1/2", "bound_by": None},
        {"shard": "0/2", "bound_by": waits("8 calls at once")},
        {"shard": "1/2", "bound_by": waits("7 calls at once")},
    ]
    found = bound_by_of_shards(sessions)
    assert found is not None
    assert found["most"] == "15 calls at once"
    assert bound_by_of_shards([]) is None
