"""The broker on the network."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import msgspec
from anyio.abc import SocketAttribute

from profiler.fleet.broker.desk import look_for_the_lost
from profiler.fleet.broker.messages import Lease, decode_envelope
from profiler.fleet.broker.wire import BROKEN, NOT_KNOWN, Lines, same_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import SocketStream

    from profiler.fleet.broker.desk import Desk
    from profiler.fleet.broker.messages import Envelope

TOKEN_WITHIN_S = 5.0


class BrokerServer:
    """Serves the workers' messages over TCP; a connection must begin with the token."""

    def __init__(self, desk: Desk | None, *, token: str) -> None:
        """`desk` may be another one later; while there is none nobody gets anything."""
        self.desk = desk
        self._token = token

    @asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[int]:
        """Listen while the block runs; yields the port."""
        listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._talk)
            tasks.start_soon(look_for_the_lost, lambda: self.desk)
            yield listener.listeners[0].extra(SocketAttribute.local_port)  # noqa: S610 (no Django)
            tasks.cancel_scope.cancel()

    def _answer(self, sent: Envelope) -> Lease:
        if self.desk is not None:
            return self.desk.answer(sent)
        return Lease(seq=0, expires_s=0.0)

    async def _talk(self, stream: SocketStream) -> None:
        async with stream:
            lines = Lines(stream)
            try:
                with anyio.fail_after(TOKEN_WITHIN_S):
                    greeting = await lines.receive()
                    if not same_token(greeting, self._token):
                        if greeting.startswith(b'"'):  # a worker's, which should know why it gets nothing
                            await lines.receive()  # closed with something unread, a connection may lose the answer
                            await stream.send(NOT_KNOWN + b"\n")
                        return
                while True:
                    await lines.send(self._answer(decode_envelope(await lines.receive())))
            except (*BROKEN, TimeoutError, anyio.DelimiterNotFound, msgspec.DecodeError):
                return  # whoever it was connects again
