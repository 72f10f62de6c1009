"""What goes on beside a run, whoever answers it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import anyio
import pytest

from profiler.engine import onlookers
from profiler.engine.onlookers import onlooking
from profiler.engine.progress import Snapshot
from profiler.storage import status_file
from tests.profiler.engine.snapshots import snapshot

if TYPE_CHECKING:
    from pathlib import Path


class Run:
    """One that can be stopped, and has nothing to do."""

    def __init__(self) -> None:
        self.stopped: Exception | None = None
        self.in_flight = 0

    def drain(self, reason: Exception) -> None:
        self.stopped = self.stopped or reason

    def abandon(self) -> None:
        """Nothing is in flight."""


async def test_what_a_killed_command_said_of_itself_is_gone_when_the_next_one_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onlookers, "STATUS_EVERY_S", 3600)
    status_file.write(tmp_path, snapshot(done=1))
    status = {tmp_path: snapshot(done=2)}
    async with onlooking(Run(), None, status=lambda: status, watch=None, signals=None, tell=print):
        await anyio.wait_all_tasks_blocked()
    assert status_file.read(tmp_path, Snapshot) is None


async def test_the_status_of_what_is_over_goes_although_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onlookers, "STATUS_EVERY_S", 0.001)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    looks = iter([{}, {first: snapshot(done=1)}, {second: snapshot(done=2)}])
    seen: list[tuple[bool, bool]] = []
    over = anyio.Event()

    def status() -> dict[Path, Snapshot]:
        seen.append(tuple((folder / "status.json").exists() for folder in (first, second)))  # type: ignore[arg-type]
        if len(seen) == 4:
            over.set()
        return next(looks, {})

    async with onlooking(Run(), None, status=status, watch=None, signals=None, tell=print):
        await over.wait()
    assert seen[:4] == [(False, False), (False, False), (True, False), (False, True)]


async def test_the_status_of_what_is_over_goes_although_the_run_ends_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onlookers, "STATUS_EVERY_S", 0.001)
    status_file.write(tmp_path, snapshot(done=1))
    looks, over = iter([{tmp_path: snapshot(done=1)}]), anyio.Event()

    def status() -> dict[Path, Snapshot]:
        found = next(looks, {})
        if not found:
            scope.cancel()  # so the thread that would remove it is never begun
            over.set()
        return found

    with anyio.CancelScope() as scope:
        async with onlooking(Run(), None, status=status, watch=None, signals=None, tell=print):
            await over.wait()
    assert status_file.read(tmp_path, Snapshot) is None


async def test_a_signal_may_mean_something_else_than_to_stop() -> None:
    run, asked = Run(), anyio.Event()
    others = {signal.SIGUSR1: asked.set}
    async with onlooking(run, None, status=dict, watch=None, signals=others, tell=print):
        await anyio.wait_all_tasks_blocked()
        signal.raise_signal(signal.SIGUSR1)
        await asked.wait()
        assert run.stopped is None


async def test_what_fails_beside_a_run_ends_it_in_order() -> None:
    async def watch(_: None) -> None:
        raise OSError("stderr is closed")

    run = Run()
    async with onlooking(run, None, status=dict, watch=watch, signals=None, tell=print):
        await anyio.wait_all_tasks_blocked()
    assert isinstance(run.stopped, OSError)
