"""A survey by workers outlives the loss of one of them, and is given up where they only die."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import pytest

from profiler.dataset import file, slices
from profiler.dataset.selection import ALL
from profiler.fleet.coordination.crew import MOST_LOST, Crew
from profiler.fleet.drivers.driver import Lost
from profiler.fleet.messages import Look, Looked
from tests.profiler.fleet.sites import dataset, experiment


class Mortal:
    """Workers that look at once. The first looks of all end with the loss of who was asked."""

    def __init__(self, *, lost: int) -> None:
        self.started: list[int] = []
        self._lost = lost
        self._said: deque[tuple[int, Any]] = deque()

    def start(self, worker: int) -> None:
        self.started.append(worker)

    def tell(self, worker: int, look: Look) -> None:
        assert worker in self.started
        if self._lost:
            self._lost -= 1
            self._said.append((worker, Lost("was ended by SIGKILL")))
        else:
            self._said.append((worker, Looked(slices.look_at(Path(look.dataset), look.part, hashes=Path(look.hashes)))))

    async def poll(self) -> tuple[int, Any]:
        return self._said.popleft()


@pytest.mark.parametrize("lost", [0, 1, MOST_LOST, MOST_LOST + 1])
async def test_a_slice_of_a_lost_worker_is_looked_at_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    monkeypatch.setattr(slices, "WORTH_SLICING", 1)
    driver: Any = Mortal(lost=lost)
    path = dataset(tmp_path, 300)
    crew = Crew(driver, processes=2)
    found = await crew.survey(experiment(path), ALL, folder=tmp_path / "surveyed")
    if lost > MOST_LOST:
        assert found is None
    else:
        assert found is not None
        assert found.survey == file.survey(path)
    assert len(crew.numbers) == 2
    assert crew.numbers == driver.started[-2:]  # those that live
    assert not (tmp_path / "surveyed").exists()
