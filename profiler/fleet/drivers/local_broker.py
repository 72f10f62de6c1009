"""A broker for workers on this machine: a process of its own that is replaced when it dies."""

from __future__ import annotations

import secrets
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from profiler.core.errors import ProfilerError
from profiler.engine.threads import in_thread
from profiler.fleet.broker.desk import Desk
from profiler.fleet.broker.kept_money import NAME
from profiler.fleet.broker.process import BrokerProcess, start_broker, tell_gone
from profiler.fleet.messages import Lender
from profiler.storage.boot import boot_id

if TYPE_CHECKING:
    from profiler.fleet.broker.settings import BrokerSettings

LOOK_EVERY_S = 0.2
MOST_FAILED = 3  # replacements in a row: one may be killed while it starts, too


class LocalBroker:
    def __init__(self, process: BrokerProcess, *, token: str, capped: bool) -> None:
        self.process = process
        self._token = token
        self._capped = capped
        self._session = f"{secrets.token_hex(4)}@{machine()}"  # worker 0 of an earlier command is another one

    def lender(self, worker: int) -> Lender:
        return Lender(url=self.process.address, token=self._token, who=self._name_of(worker), capped=self._capped)

    async def keep(self) -> None:
        failed = 0
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            if self.process.poll() is None:
                continue
            try:
                await in_thread(self.process.restart)
                failed = 0
            except ProfilerError:
                failed += 1
                if failed > MOST_FAILED:
                    raise

    async def forget(self, worker: int) -> None:
        await tell_gone(self.process.address, self._name_of(worker), token=self._token)

    async def close(self) -> None:
        await in_thread(self.process.stop)

    def _name_of(self, worker: int) -> str:
        return f"{worker}-{self._session}"


async def local_broker(folder: Path, settings: BrokerSettings) -> LocalBroker:
    token = secrets.token_urlsafe(32)
    if settings.cap is not None and (folder / NAME).exists():
        await in_thread(partial(_settle_the_dead, folder, settings))
    process = await in_thread(partial(start_broker, folder, settings, token=token))
    return LocalBroker(process, token=token, capped=settings.cap is not None)


def _settle_the_dead(folder: Path, settings: BrokerSettings) -> None:
    """What dead workers of earlier commands were lent and have not spent is free at once. Once their answers are put together
    their folders are gone, and all that they were lent would count as spent."""
    desk = Desk(settings, folder=folder)
    try:
        desk.settle_the_dead(of=f"@{machine()}")
    finally:
        desk.close()


def machine() -> str:
    """A name of this machine, or of the container, within which a lock that somebody holds can be seen."""
    boot = boot_id()
    with suppress(OSError):
        if boot is not None:
            return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    return secrets.token_hex(8)  # like no other, and nobody is taken for dead
