"""The broker of one command is replaced when it dies, also when its replacement dies before it has said anything."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import orjson
import pytest

from profiler.core.errors import ProfilerError
from profiler.engine.limits.concurrency import FIRST_LIMIT
from profiler.fleet.broker.kept_money import NAME
from profiler.fleet.broker.messages import Amounts, Event, MoneyUse, Renewal
from profiler.fleet.broker.process import BrokerProcess
from profiler.fleet.broker.settings import BrokerSettings
from profiler.fleet.broker.wire import Channel
from profiler.fleet.drivers import local_broker
from profiler.fleet.drivers.local_broker import MOST_FAILED, LocalBroker, LocalBrokers, machine
from profiler.storage.run_directory import hold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from profiler.fleet.broker.messages import Lease
    from profiler.fleet.broker.process import BrokerProcess


class Dying:
    """A broker that has died, and whose next ones do not start either."""

    def __init__(self, broker: BrokerProcess, *, failing: int) -> None:
        self._broker = broker
        self.failing = failing
        self.starts = 0
        self.replaced = anyio.Event()
        self.address = broker.address

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
    broker = BrokerProcess(tmp_path, BrokerSettings(workers=1, concurrency=1, cap=None), token="t")
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
    broker = BrokerProcess(tmp_path, BrokerSettings(workers=1, concurrency=1, cap=None), token="t")
    broker.stop()
    dying = Dying(broker, failing=100)

    with pytest.raises(ProfilerError, match="it said nothing"):
        await LocalBroker(dying, token="t", capped=False).keep()  # type: ignore[arg-type]

    assert dying.starts == MOST_FAILED + 1


async def test_a_run_may_end_while_its_broker_and_the_replacement_are_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brokers = LocalBrokers()
    broker = await brokers.broker(tmp_path, BrokerSettings(workers=1, concurrency=1, cap=None))
    broker.process.kill()
    monkeypatch.setattr(sys, "executable", "false")  # the replacement dies before it has said anything
    with pytest.raises(ProfilerError, match="did not start"):
        broker.process.restart()

    await broker.close()

    monkeypatch.undo()
    await brokers.broker(tmp_path, BrokerSettings(workers=1, concurrency=1, cap=None))
    assert broker.process.poll() is None
    brokers.close()


async def test_what_dead_workers_of_earlier_commands_have_not_spent_is_free_at_once(tmp_path: Path) -> None:
    """Later it is too late: their folders go when what they answered is put together, and then nobody can tell."""
    for name in ("dead", "alive", "elsewhere"):
        (tmp_path / "attempts" / name).mkdir(parents=True)
    lent = {f"1-x@{machine()}": "dead", f"2-x@{machine()}": "alive", "3-x@another": "elsewhere", "4-x": "elsewhere"}
    lent[f"5-x@{machine()}"] = "removed"
    lines = [
        {"who": who, "seq": 3, "granted": 100, "attempts": {f"attempts/{name}": 0}, "before": 30}
        for who, name in lent.items()
    ]
    (tmp_path / NAME).write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    settings = BrokerSettings(workers=1, concurrency=1, cap=1000)

    with hold(tmp_path / "attempts" / "alive", tell=print):
        brokers = local_broker.LocalBrokers()
        broker = await brokers.broker(tmp_path, settings)
        brokers.close()

    kept = [orjson.loads(line) for line in (tmp_path / NAME).read_bytes().splitlines()]
    assert kept[0] == {"settled": 30}
    assert {line["who"]: line.get("granted") for line in kept[1:]} == dict.fromkeys(lent, 100) | {
        f"1-x@{machine()}": None
    }
    assert broker.lender(1).who.endswith(f"@{machine()}")


@asynccontextmanager
async def lending(brokers: LocalBrokers, folder: Path, provider: str) -> AsyncIterator[Callable[..., Awaitable[Lease]]]:
    """The broker of one experiment, and what one worker asks it."""
    settings = BrokerSettings(workers=1, concurrency=64, cap=1000, provider=provider)
    broker = await brokers.broker(folder, settings)
    lender, seq = broker.lender(1), 0

    async def ask(who: str = lender.who, **more: Any) -> Lease:
        nonlocal seq
        seq += 1
        message = Renewal(who=who, seq=seq, want=Amounts(requests=50.0), want_slots=64, saturated=True)
        lease = await channel.ask(msgspec.structs.replace(message, money=MoneyUse(), **more))
        assert lease is not None
        return lease

    async with Channel(lender.url, token=lender.token) as channel:
        yield ask
    await broker.close()


REFUSED = Event(of="call", kind="rate_limited", message="slow down", status=429, retryable=True, unexplained=True)


@pytest.mark.parametrize("dies", [False, True])
async def test_what_is_learned_of_a_provider_is_known_to_the_next_experiment_that_asks_it(
    tmp_path: Path, dies: bool
) -> None:
    brokers = LocalBrokers()
    try:
        async with lending(brokers, tmp_path / "a", "one") as ask:
            for _ in range(3):
                await ask(answered=100)
            learned = await ask(used=Amounts(requests=8.0), events=(REFUSED, REFUSED))
            before = (await ask(used=Amounts(requests=8.0))).slots
        assert learned.per_minute["requests"] < 600
        assert before > FIRST_LIMIT

        async with lending(brokers, tmp_path / "b", "another") as ask:
            other = await ask()
            late = await ask(who="1-of-another-experiment")
        assert (other.per_minute, other.slots) == ({}, FIRST_LIMIT)
        assert (late.lost, late.slots, late.money) == (True, 0, 0)

        if dies:
            assert brokers.process is not None
            brokers.process.kill()
        async with lending(brokers, tmp_path / "c", "one") as ask:
            found = await ask()
        assert ("requests" in found.per_minute, found.slots == before) == ((False, False) if dies else (True, True))
    finally:
        brokers.close()
