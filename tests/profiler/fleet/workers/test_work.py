"""A worker among several makes use of all that it is lent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from profiler.fleet.messages import Job, Lender, Share
from profiler.fleet.workers.work import Worker
from tests.profiler.fleet.sites import dataset, experiment

if TYPE_CHECKING:
    from pathlib import Path


class Hurried:
    """A link that only notes for which limit it was asked to hurry."""

    def __init__(self, limit_now: Any) -> None:
        self.limits, self._said = anyio.create_memory_object_stream[int](100)[::-1]
        self._limit_now = limit_now

    def hurry(self) -> None:
        self._said.send_nowait(self._limit_now())


async def test_a_worker_asks_for_more_as_soon_as_all_that_it_was_lent_is_in_use(tmp_path: Path) -> None:
    lender = Lender(url="tcp://127.0.0.1:9", token="t", who="0-a", capped=False)
    asked = experiment(dataset(tmp_path, 1))
    job = Job(worker=0, folder=str(tmp_path), experiment=asked, mode="live", share=Share(concurrency=8), broker=lender)
    worker = Worker(job, send=lambda _: None)
    slots = worker._shared.provider_of(worker._experiment).slots
    link: Any = Hurried(lambda: slots.limit)
    assert slots.limit == 1
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            slots.count(1)
            tasks.start_soon(worker._look_for_room, link)
            assert await link.limits.receive() == 1
            slots.resize(4)
            slots.count(3)
            assert await link.limits.receive() == 4  # and not once more for what it knows
            slots.resize(0)
            assert [await link.limits.receive() for _ in range(3)] == [
                0,
                0,
                0,
            ]  # it can do nothing, so it goes on asking
            tasks.cancel_scope.cancel()
    link.limits.close()
    link._said.close()
