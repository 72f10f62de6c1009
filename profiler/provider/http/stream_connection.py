"""A connection whose replies come as streams: it notes when each piece came, and keeps what came of one that broke off."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from profiler.core.errors import CallError
from profiler.provider.http.connection import Connection, inflated, lost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.provider.http.connection import Owner

# After its last event a stream has nothing more to say but its end, which lets the connection be used again.
LAST_EVENTS: Final = (b"\nevent: message_stop", b"\nevent: error", b"event: error")
GRACE_S: Final = 1.0


class StreamAnswer(NamedTuple):
    """What came, and when, by `time.perf_counter`. `broken` says why there is no more, if the end is missing."""

    status: int
    headers: Mapping[str, str]
    pieces: list[bytes]
    times: list[float]
    broken: CallError | None = None


class StreamConnection(Connection):
    """Its futures get a `StreamAnswer`."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self._times: list[float] = []
        self._now = 0.0
        self._grace: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        self._now = time.perf_counter()
        super().data_received(data)
        if self._waiter is not None and not self._complete and any(each in data for each in LAST_EVENTS):
            self._grace = self._grace or self._owner.loop.call_later(GRACE_S, self._end_now)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._no_grace()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._complete:
            self._times = []

    def on_body(self, body: bytes) -> None:
        if not self._complete:
            self._body.append(body)
            self._times.append(self._now)

    def _finish(self) -> None:
        self._end(None)

    def _fail(self, error: CallError) -> None:
        self.reusable = False
        self._end(error)

    def _end_now(self) -> None:
        self._grace = None
        self._fail(lost("the stream did not end after its last event"))

    def _no_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _end(self, broken: CallError | None) -> None:
        waiter, self._waiter = self._waiter, None
        self._no_grace()
        if not self.reusable:
            self.abort()
        if waiter is None or waiter.done():
            return
        if broken is not None and not self._headed:
            waiter.set_exception(broken)
            return
        pieces, times = self._body, self._times
        if (encoding := self._headers.get("content-encoding")) is not None and broken is None:
            try:
                pieces, times = [inflated(b"".join(pieces), encoding)], [self._now]
            except CallError as error:
                waiter.set_exception(error)
                return
        waiter.set_result(StreamAnswer(self._status, self._headers, pieces, times, broken))
