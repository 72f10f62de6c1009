"""That the client which watches for pauses measures them from what asked for one to the next call."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from benchmarks.clients import Paced
from profiler.core.errors import CallError
from profiler.core.nouns import Reply, Request
from profiler.provider.requests import Planner
from tests.profiler.building import PARAMS, dialogue


class Scripted:
    """Answers, or asks for a pause of so many seconds."""

    def __init__(self, *pauses: float | None) -> None:
        self._pauses = iter(pauses)

    async def complete(self, request: Request) -> Reply:
        if (pause := next(self._pauses)) is not None:
            raise CallError("rate_limited", "slow down", retryable=True, retry_after_s=pause)
        return Reply(completion=request.dialogue.dialogue_id, stop_reason="end_turn", model=PARAMS.model, usage={})


async def watched(*pauses: float | None, times: list[float]) -> Paced:
    """As many calls as there are pauses or Nones; the clock says the times, one at each look."""
    paced = Paced(Scripted(*pauses), clock=iter(times).__next__)
    request = next(Planner(PARAMS, system=None).plan(iter([dialogue()])))
    for _ in pauses:
        with suppress(CallError):
            await paced.complete(msgspec.structs.replace(request))
    return paced


async def test_a_pause_lasts_from_its_demand_to_the_next_call() -> None:
    paced = await watched(None, 4.0, None, None, times=[0.0, 1.0, 2.0, 7.0, 8.0])

    assert paced.longest_by_asked == (7.0 - 2.0) / 4.0


async def test_the_longest_for_what_was_asked_counts() -> None:
    paced = await watched(1.0, 10.0, None, times=[0.0, 0.0, 1.5, 1.5, 11.5])

    assert paced.longest_by_asked == 1.5


async def test_without_a_demand_there_is_no_pause() -> None:
    paced = await watched(None, None, times=[0.0, 60.0])

    assert paced.longest_by_asked == 0.0
