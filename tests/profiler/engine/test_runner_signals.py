"""Signals to a run, and those who look on."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from profiler.core.errors import (
    Interrupted,
    ProfilerError,
)
from profiler.core.nouns import Request
from profiler.engine.calls import pool
from profiler.engine.runner import run
from profiler.manifest.settings import Experiment, MockSettings
from tests.profiler.engine.running import Counting, changed, options, run_sync

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.engine.progress import Overview


def test_one_signal_lets_the_calls_in_flight_end(experiment: Experiment, tmp_path: Path) -> None:
    release = anyio.Event()

    def wait(request: Request) -> Any:
        if request.index == 3:
            signal.raise_signal(signal.SIGTERM)
        return release.wait()

    async def watch(_: Overview) -> None:
        await anyio.wait_all_tasks_blocked()
        release.set()

    client = Counting(first=wait)
    with pytest.raises(Interrupted, match="stopped by SIGTERM") as caught:
        run_sync(experiment, options=options(tmp_path, signals=True), client=client, watch=watch)
    assert caught.value.exit_code == 143
    result = run_sync(experiment, options=options(tmp_path), client=Counting())
    assert result.kept == len(client.asked) == 4


def test_the_second_signal_does_not_wait(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drained(self: pool.Pool, reason: ProfilerError) -> None:
        really_drain(self, reason)
        if not abandoned:
            abandoned.append(True)
            signal.raise_signal(signal.SIGINT)

    abandoned: list[bool] = []
    really_drain = pool.Pool.drain
    monkeypatch.setattr(pool.Pool, "drain", drained)

    def hang(request: Request) -> Any:
        if request.index == 3:
            signal.raise_signal(signal.SIGINT)
        return anyio.sleep_forever()

    with pytest.raises(Interrupted, match="stopped by SIGINT") as caught:
        run_sync(experiment, options=options(tmp_path, signals=True), client=Counting(first=hang))
    assert caught.value.exit_code == 130
    assert run_sync(experiment, options=options(tmp_path)).kept == 0


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file"), ZeroDivisionError()])
async def test_an_onlooker_that_fails_ends_the_run_but_not_the_calls_in_flight(
    experiment: Experiment, tmp_path: Path, error: Exception
) -> None:
    release = anyio.Event()

    async def watch(_: Overview) -> None:
        await anyio.wait_all_tasks_blocked()
        release.set()
        raise error

    client = Counting(first=lambda _: release.wait())
    with pytest.raises(type(error)):
        await run(experiment, options=options(tmp_path, concurrency=4), client=client, watch=watch)
    result = await run(experiment, options=options(tmp_path), client=Counting())
    assert result.kept == len(client.asked) == 4


def test_a_signal_that_cannot_be_told_of_is_obeyed_and_so_is_the_next(experiment: Experiment, tmp_path: Path) -> None:
    def closed(words: str) -> None:
        if "SIG" in words:
            raise BrokenPipeError

    async def watch(view: Overview) -> None:
        while not view.look().stopping:
            await anyio.lowlevel.checkpoint()
        signal.raise_signal(signal.SIGTERM)

    def hang(request: Request) -> Any:
        if request.index == 3:
            signal.raise_signal(signal.SIGINT)
        return anyio.sleep_forever()

    with pytest.raises(Interrupted, match="stopped by SIGINT"):
        run_sync(
            experiment, options=options(tmp_path, signals=True), client=Counting(first=hang), watch=watch, note=closed
        )


async def test_an_onlooker_sees_the_run_and_ends_with_it(experiment: Experiment, tmp_path: Path) -> None:
    seen: list[int] = []
    ended: list[bool] = []

    async def watch(view: Overview) -> None:
        try:
            while True:
                seen.append(view.look().done)
                await anyio.lowlevel.checkpoint()
        finally:
            ended.append(True)

    slow = changed(experiment, mock=MockSettings(latency_s=0.001))
    await run(slow, options=options(tmp_path), watch=watch)
    assert ended == [True]
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] > 0
