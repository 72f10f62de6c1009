"""The workers of one command: how many there are, and what they do before there are ranges: they survey the dataset."""

from __future__ import annotations

import os
import shutil
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from profiler.dataset import slices, unchanged
from profiler.dataset.places import has_places
from profiler.engine.threads import in_thread
from profiler.fleet.drivers.driver import Lost
from profiler.fleet.messages import Look, Looked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from profiler.dataset.selection import Selection
    from profiler.dataset.slices import Found, Slice, Surveyed
    from profiler.fleet.drivers.driver import Driver
    from profiler.manifest.settings import Experiment

A_CORE: Final = 16  # processes; more would only wait for each other
EARLY_A_CORE: Final = 2  # start before it is known how much there is to do
MOST_LOST: Final = 3  # while they survey


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def bounded(processes: int, *, tell: Callable[[str], None]) -> int:
    """As many processes as were asked for, but no more than this machine can use."""
    most = A_CORE * cores()
    if processes > most:
        tell(
            f"{processes:,} processes are more than the {cores():,} cores of this machine can use: {most:,} do the work"
        )
    return min(processes, most)


class Crew:
    """The workers of one command. Some are started at once, so that they are there when there is something to do. Those
    that have answered all ranges of one experiment do the next one."""

    def __init__(self, driver: Driver, *, processes: int) -> None:
        self.numbers: list[int] = []
        self.driver = driver
        self.next_number = 0
        self._wanted = processes
        self._start(min(processes, EARLY_A_CORE * cores()))

    def _start(self, count: int) -> None:
        for number in range(self.next_number, self.next_number + count):
            self.driver.start(number)
            self.numbers.append(number)
        self.next_number += count

    def complete(self, *, ranges: int) -> None:
        """Start the workers that are missing, as far as there is a range for each."""
        self._start(max(0, min(self._wanted, ranges) - len(self.numbers)))

    async def survey(self, experiment: Experiment, selection: Selection, *, folder: Path) -> Surveyed | None:
        """Let the workers survey the dataset, each some slices of it. None where that is not worth it, where they cannot, or
        where anything may be wrong with the dataset: then it is surveyed by the coordinator alone, who names all faults.

        `folder` is there only meanwhile.
        """
        path = experiment.dataset_path
        if len(self.numbers) < 2 or not _can_be_sliced(experiment, selection):
            return None
        stamp = unchanged.stamp(path)
        await in_thread(partial(folder.mkdir, parents=True, exist_ok=True))
        try:
            async with anyio.create_task_group() as beside:
                beside.start_soon(in_thread, unchanged.fingerprint, path)  # the hash of the whole is not one of slices
                parts = slices.slices_of(path, processes=len(self.numbers))
                found = await self._looked_at(path, parts, folder)
            if found is None or unchanged.stamp(path) != stamp:
                return None
            sha256 = await in_thread(unchanged.fingerprint, path)
            return await in_thread(slices.put_together, path, found, sha256, stamp)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _looked_at(self, path: Path, parts: list[Slice], folder: Path) -> list[tuple[Found, Path]] | None:
        left = deque(range(len(parts)))
        busy: dict[int, int] = {}  # which worker looks at which slice
        found: dict[int, tuple[Found, Path]] = {}
        lost = 0

        def look(worker: int) -> None:
            if left:
                number = busy[worker] = left.popleft()
                self.driver.tell(worker, Look(str(path), parts[number], str(folder / f"{worker}-{number}")))

        for worker in self.numbers:
            look(worker)
        while len(found) < len(parts):
            worker, said = await self.driver.poll()
            if isinstance(said, Looked):
                number = busy.pop(worker)
                found[number] = said.found, folder / f"{worker}-{number}"
                if not said.found.sound:
                    return None
                look(worker)
            elif isinstance(said, Lost):
                lost += 1
                self.numbers.remove(worker)
                left.extend([busy.pop(worker)] if worker in busy else [])
                self._start(1)
                if lost > MOST_LOST:
                    return None
                look(self.numbers[-1])
        return [found[number] for number in range(len(parts))]


def _can_be_sliced(experiment: Experiment, selection: Selection) -> bool:
    path = experiment.dataset_path
    if experiment.dataset_fields or selection.limit is not None or not has_places(path, selection):
        return False  # lines have no numbers of their own in a slice, and a limit needs only the first of them
    return path.is_file() and path.stat().st_size >= slices.WORTH_SLICING
