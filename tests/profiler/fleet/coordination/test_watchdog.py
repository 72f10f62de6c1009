"""Workers that say nothing any more: their ranges go to others, and the run ends right."""

from __future__ import annotations

import os
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from profiler.fleet.coordination import watchdog
from profiler.fleet.coordination.watchdog import BEGIN_WITHIN, END_WITHIN, Watchdog
from profiler.fleet.drivers.process_driver import ProcessDriver, processes
from profiler.fleet.messages import Ended, Status
from profiler.fleet.preparing import prepare
from profiler.fleet.workers import range_worker
from profiler.manifest.settings import MockSettings
from profiler.storage.shared_runs.ranges import RangeFolders
from tests.profiler.fleet.inline import InlineDriver, arranged
from tests.profiler.fleet.sites import by_one, by_several, dataset, experiment, results

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from profiler.fleet.messages import Report

PATIENCE = 3


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def looks(dog: Watchdog, clock: Clock, count: int) -> list[tuple[list[int], list[int]]]:
    found = []
    for _ in range(count):
        clock.now += watchdog.LOOK_EVERY_S
        found.append(dog.look())
    return found


def test_who_is_silent_for_too_long_is_ended_once_and_then_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    dog = Watchdog(patience=PATIENCE)
    for worker in (1, 2):
        dog.expect(worker)
        dog.heard(worker)

    assert looks(dog, clock, PATIENCE) == [([], [])] * PATIENCE
    dog.heard(2)
    dog.forget(2)
    assert looks(dog, clock, END_WITHIN + 1) == [([1], []), *[([], [])] * (END_WITHIN - 1), ([], [1])]


def test_a_moment_in_which_the_coordinator_itself_stood_still_is_nobodys_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    dog = Watchdog(patience=PATIENCE)
    dog.expect(1)
    dog.heard(1)

    clock.now += 3_600
    assert dog.look() == ([], [])
    assert dog.look() == ([], [])  # and it does not look twice at one moment
    dog.heard(1)
    assert looks(dog, clock, PATIENCE) == [([], [])] * PATIENCE


def test_who_has_not_begun_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    dog = Watchdog(patience=PATIENCE)
    dog.expect(1)

    assert looks(dog, clock, BEGIN_WITHIN + 1) == [([], [])] * BEGIN_WITHIN + [([1], [])]


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look takes hundredths of a second; workers report a dozen times as often as they must."""
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)
    monkeypatch.setattr("profiler.fleet.coordination.coordinator.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(watchdog, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(range_worker, "STATUS_EVERY_S", 0.01)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("reach", [True, False], ids=["can be ended", "goes on, and nobody can reach it"])
async def test_the_ranges_of_one_that_falls_silent_go_to_another(tmp_path: Path, reach: bool) -> None:
    asked = experiment(dataset(tmp_path, 120), mock=MockSettings(latency_s=0.01), concurrency=8)
    whole = await by_one(asked, tmp_path / "one")
    told: list[str] = []

    def arrange(driver: InlineDriver) -> None:
        def heard(worker: int, report: Report) -> None:
            if worker == 1 and isinstance(report, Status) and report.answered > 5:
                driver.mute.add(1)

        driver.patience_s = 0.25
        driver.reach = reach
        driver.on_report = heard

    done = await by_several(asked, tmp_path / "several", processes=2, on=arranged(arrange), note=told.append)

    assert results(done.folder) == whole
    how = "was ended by SIGKILL" if reach else "cannot be ended"
    assert any(f"worker 1 has said nothing for 0 s and {how}; another one takes its place" in line for line in told)


async def test_who_was_taken_for_dead_begins_nothing_more_when_another_has_its_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 100)
    monkeypatch.setattr(range_worker, "SUCCESSOR_EVERY_S", 0.01)
    asked = experiment(dataset(tmp_path, 200), mock=MockSettings(latency_s=0.02), concurrency=6)
    whole = await by_one(asked, tmp_path / "one")
    folders = RangeFolders(tmp_path / "several" / "shared")
    overtaken: list[int] = []
    answered: list[int] = []
    ends: list[Ended] = []

    def heard(worker: int, report: Report) -> None:
        if worker != 1:
            return
        if isinstance(report, Ended):
            ends.append(report)
        if isinstance(report, Status):
            answered.append(report.answered)
            if report.answered > 5 and not overtaken:
                overtaken.append(report.parts[0].first)
                folders.begin_candidate(overtaken[0])

    def arrange(driver: InlineDriver) -> None:
        driver.on_report = heard

    done = await by_several(asked, tmp_path / "several", processes=2, on=arranged(arrange))

    assert results(done.folder) == whole
    assert [end.error and end.error.message for end in ends] == ["another process goes on with what this one has begun"]
    assert answered[-1] < 100


OWN = """
import os, threading, time, anyio
from profiler.core.nouns import Reply

class Hangs:
    name = "hangs"

    def __init__(self):
        self.calls = 0

    async def complete(self, request):
        self.calls += 1
        await anyio.sleep(0.005)
        try:
            os.close(os.open({flag!r}, os.O_CREAT | os.O_EXCL)) if self.calls == 20 else None
        except FileExistsError:
            pass
        else:
            if self.calls == 20:
                deadlock()
        return Reply(completion="fine", stop_reason="end_turn", model="m", usage={{}})

def deadlock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

def hangs(experiment):
    return Hangs()
"""


@asynccontextmanager
async def impatient(logs: Path) -> AsyncIterator[ProcessDriver[Any, Any]]:
    async with processes(logs) as driver:
        driver.patience_s = 2.0
        yield driver


@pytest.mark.long
async def test_a_worker_whose_client_hangs_is_replaced_and_its_log_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)
    monkeypatch.setattr("profiler.fleet.coordination.coordinator.LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(watchdog, "LOOK_EVERY_S", 0.2)
    (tmp_path / "own.py").write_text(OWN.format(flag=str(tmp_path / "hung")))
    asked = experiment(dataset(tmp_path, 200), client="own:hangs", concurrency=4)
    told: list[str] = []

    done = await by_several(
        asked, tmp_path / "several", processes=2, on=impatient, note=told.append, search_path=tmp_path
    )

    assert done.summary["counts"]["answer"] == 200
    [lost] = [line for line in told if "has said nothing for 2 s and was ended by" in line]
    assert "in deadlock" in lost


@pytest.mark.long
async def test_a_worker_that_is_stopped_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "LEAST_ITEMS", 10)
    monkeypatch.setattr("profiler.fleet.coordination.coordinator.LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(watchdog, "LOOK_EVERY_S", 0.2)
    asked = experiment(dataset(tmp_path, 300), mock=MockSettings(latency_s=0.01), concurrency=4)
    whole = await by_one(asked, tmp_path / "one")
    drivers: list[ProcessDriver[Any, Any]] = []
    told: list[str] = []

    @asynccontextmanager
    async def kept(logs: Path) -> AsyncIterator[ProcessDriver[Any, Any]]:
        async with impatient(logs) as driver:
            drivers.append(driver)
            yield driver

    async def stop_one(fleet: Any) -> None:
        while fleet.look().done < 60:  # noqa: ASYNC110 (the run knows nothing of us)
            await anyio.sleep(0.01)
        os.kill(drivers[0]._processes[1].pid, signal.SIGSTOP)
        await anyio.sleep_forever()

    done = await by_several(asked, tmp_path / "several", processes=2, on=kept, note=told.append, watch=stop_one)

    assert results(done.folder) == whole
    assert any("worker 1 has said nothing for 2 s and was ended by SIGKILL" in line for line in told)
