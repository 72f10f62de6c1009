"""A broker for workers on this machine: a process of its own that is replaced when it dies."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING

import anyio

from profiler.core.errors import ProfilerError
from profiler.engine.threads import in_thread
from profiler.fleet.broker.process import BrokerProcess, start_broker, tell_gone
from profiler.fleet.messages import Lender

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.fleet.broker.settings import BrokerSettings

LOOK_EVERY_S = 0.2
MOST_FAILED = 3  # replacements in a row: one may be killed while it starts, too


class LocalBroker:
    def __init__(self, process: BrokerProcess, *, token: str, capped: bool) -> None:
        self.process = process
        self._token = token
        self._capped = capped
        self._session = secrets.token_hex(4)  # worker 0 of an earlier command is another one

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
    process = await in_thread(partial(start_broker, folder, settings, token=token))
    return LocalBroker(process, token=token, capped=settings.cap is not None)
