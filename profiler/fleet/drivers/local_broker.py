"""A broker for workers on this machine: a process of its own that is replaced when it dies."""

from __future__ import annotations

import secrets
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec

from profiler.core.errors import ProfilerError
from profiler.engine.threads import in_thread
from profiler.fleet.broker.desk import Desk
from profiler.fleet.broker.kept_money import NAME
from profiler.fleet.broker.process import BrokerProcess
from profiler.fleet.drivers.reached_broker import OwnBroker
from profiler.storage.boot import boot_id

if TYPE_CHECKING:
    from profiler.fleet.broker.settings import BrokerSettings

LOOK_EVERY_S = 0.2
MOST_FAILED = 3  # replacements in a row: one may be killed while it starts, too


class LocalBroker(OwnBroker):
    def __init__(self, process: BrokerProcess, *, token: str, capped: bool, session: str | None = None) -> None:
        super().__init__(process.address, token=token, capped=capped, session=session)
        self.process = process

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

    async def close(self) -> None:
        """Its process may serve the next experiment."""
        await in_thread(self.process.rest)


class LocalBrokers:
    """One process lends to the workers of one experiment after the other, so that what it has learned of a provider stays."""

    def __init__(self) -> None:
        self._token = secrets.token_urlsafe(32)
        self.process: BrokerProcess | None = None  # when there has been an experiment

    async def broker(self, folder: Path, settings: BrokerSettings) -> LocalBroker:
        session = f"{secrets.token_hex(4)}@{machine()}"
        if settings.cap is not None and (folder / NAME).exists():
            await in_thread(partial(_settle_the_dead, folder, settings))
        settings = msgspec.structs.replace(settings, session=session)
        if self.process is None:
            self.process = await in_thread(partial(BrokerProcess, folder, settings, token=self._token))
        else:
            await in_thread(partial(self.process.serve, folder, settings))
        return LocalBroker(self.process, token=self._token, capped=settings.cap is not None, session=session)

    def close(self) -> None:
        if self.process is not None:
            self.process.stop()
            self.process = None


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
