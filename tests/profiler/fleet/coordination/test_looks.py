"""What the panel counts of a run by several processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from profiler.fleet.preparing import prepare
from profiler.fleet.workers import range_worker
from tests.profiler.fleet.inline import InlineDriver, arranged
from tests.profiler.fleet.sites import by_several, dataset, experiment

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 200


async def test_a_range_that_is_committed_is_not_counted_once_more_by_what_its_worker_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)
    monkeypatch.setattr(range_worker, "STATUS_EVERY_S", 0.001)
    fleet: list[Any] = []
    seen: list[int] = []

    def arrange(driver: InlineDriver) -> None:
        hear = driver.poll

        async def poll() -> tuple[int, Any]:
            if fleet:
                seen.append(fleet[0].look().done)  # after each report, as the panel may look at any moment
            return await hear()

        driver.poll = poll  # type: ignore[method-assign]

    async def watch(looks: Any) -> None:
        fleet.append(looks)

    asked = experiment(dataset(tmp_path, COUNT))
    await by_several(asked, tmp_path / "runs", processes=2, on=arranged(arrange), watch=watch)

    assert max(seen) == COUNT
    assert len(seen) > COUNT // 10
