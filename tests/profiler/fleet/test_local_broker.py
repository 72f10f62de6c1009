"""The broker of one command is replaced when it dies, also when its replacement dies before it has said anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from profiler.core.errors import ProfilerError
from profiler.fleet import local_broker
from profiler.fleet.broker.process import start_broker
from profiler.fleet.broker.settings import BrokerSettings
from profiler.fleet.local_broker import MOST_FAILED, LocalBroker

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.fleet.broker.process import BrokerProcess


class Dying:
    """A broker that has died, and whose next ones do not start either."""

    def __init__(self, broker: BrokerProcess, *, failing: int) -> None:
        self._broker = broker
        self.failing = failing
        self.starts = 0
        self.replaced = anyio.Event()

    def poll(self) -> int | None:
        return None if self.starts > self.failing else -9

    def restart(self) -> None:
        self.starts += 1
        if self.starts <= self.failing:
            raise ProfilerError("the broker did not start: it said nothing")
        self._broker.restart()
        anyio.from_thread.run_sync(self.replaced.set)


@pytest.mark.parametrize("failing", [0, MOST_FAILED])
async def test_a_replacement_that_does_not_start_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    monkeypatch.setattr(local_broker, "LOOK_EVERY_S", 0.001)
    broker = start_broker(tmp_path, BrokerSettings(workers=1, concurrency=1, cap=None), token="t")
    address = broker.address
    broker.kill()
    dying = Dying(broker, failing=failing)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(LocalBroker(dying, token="t", capped=False).keep)  # type: ignore[arg-type]
            await dying.replaced.wait()
            tasks.cancel_scope.cancel()

        assert broker.poll() is None
        assert broker.address == address
    finally:
        broker.stop()


async def test_one_that_never_starts_ends_the_run_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_broker, "LOOK_EVERY_S", 0.001)
    broker = start_broker(tmp_path, BrokerSettings(workers=1, concurrency=1, cap=None), token="t")
    broker.stop()
    dying = Dying(broker, failing=100)

    with pytest.raises(ProfilerError, match="it said nothing"):
        await LocalBroker(dying, token="t", capped=False).keep()  # type: ignore[arg-type]

    assert dying.starts == MOST_FAILED + 1
