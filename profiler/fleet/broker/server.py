"""The broker on the network: takes messages, writes down what they change, answers, and looks for workers that are gone."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

import anyio
import msgspec
from anyio.abc import SocketAttribute

from profiler.core.errors import ProfilerError
from profiler.fleet.broker.broker import Broker
from profiler.fleet.broker.kept_money import KeptMoney
from profiler.fleet.broker.messages import Lease
from profiler.fleet.broker.wire import BROKEN, Lines, decode_envelope, same_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from anyio.abc import SocketStream

    from profiler.fleet.broker.settings import BrokerSettings
    from profiler.fleet.broker.wire import Envelope

LOOK_EVERY_S = 0.25
TOKEN_WITHIN_S = 5.0


class BrokerServer:
    """Serves one broker. `folder` is that of the run: the purse is kept there, and the workers write below it; `money_of`
    tells what was spent in one of the folders there."""

    def __init__(
        self, settings: BrokerSettings, *, folder: Path, token: str, money_of: Callable[[Path], int | None]
    ) -> None:
        self._folder = folder
        self._token = token
        self._money_of = money_of
        self._broker = Broker(settings, now=time.monotonic())
        purse = self._broker.purse
        self._kept = None if purse is None else KeptMoney(folder, purse)
        if self._kept is not None and self._kept.found:
            self._broker.take_up(now=time.monotonic())

    @asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[int]:
        """Listen meanwhile; gives the port."""
        listener = await anyio.create_tcp_listener(local_host=host, local_port=port, reuse_port=False)
        async with listener, anyio.create_task_group() as tasks:
            with self._kept or nullcontext():
                tasks.start_soon(listener.serve, self._talk)
                tasks.start_soon(self._look_for_the_lost)
                yield listener.listeners[0].extra(SocketAttribute.local_port)  # noqa: S610 (no Django)
                tasks.cancel_scope.cancel()

    async def _talk(self, stream: SocketStream) -> None:
        async with stream:
            lines = Lines(stream)
            try:
                with anyio.fail_after(TOKEN_WITHIN_S):
                    if not same_token(await lines.receive(), self._token):
                        return
                while True:
                    await lines.send(self._answer(decode_envelope(await lines.receive())))
            except (*BROKEN, TimeoutError, anyio.DelimiterNotFound, msgspec.DecodeError):
                return  # whoever it was connects again

    def _answer(self, sent: Envelope) -> Lease:
        if sent.gone is not None:
            self._end(sent.gone.who, dead=True)
        answer = Lease(seq=0, expires_s=0.0)
        if sent.renewal is not None:
            answer = self._broker.renew(sent.renewal, now=time.monotonic())
        self._write()
        return answer

    async def _look_for_the_lost(self) -> None:
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            for who in self._broker.overdue(time.monotonic()):
                self._end(who, dead=False)
            self._write()

    def _end(self, who: str, *, dead: bool) -> None:
        self._broker.end(who, billed=self._billed(who), dead=dead)

    def _billed(self, who: str) -> int | None:
        """What a worker has spent, or may have: calls that its journal leaves open count. None if nobody can tell."""
        account = self._broker.account_of(who)
        if account is None:
            return None
        billed = account.before
        for name, counted in account.attempts.items():
            told = self._told_by(self._folder / name)
            if told is None:
                return None
            billed += max(0, told - counted)
        return billed

    def _told_by(self, attempt: Path) -> int | None:
        if not attempt.resolve().is_relative_to(self._folder.resolve()) or not attempt.is_dir():
            return None
        try:
            return self._money_of(attempt)
        except (ProfilerError, OSError, ValueError):
            return None

    def _write(self) -> None:
        if self._kept is not None:
            self._kept.write()
