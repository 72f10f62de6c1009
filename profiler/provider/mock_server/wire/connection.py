"""One connection: passes bytes to the parser, requests to the application, and its answers back in order.

It lives from callbacks of the event loop and starts no task: an answer is a list of waits and writes, and a wait is a
timer. A task for each of thousands of connections would cost more than all the rest.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Protocol, TypeGuard, cast

from profiler.provider.mock_server.wire.reply_bytes import CONTINUE
from profiler.provider.mock_server.wire.request_parser import Malformed, Parser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from profiler.provider.mock_server.settings import Outgoing, ServerSettings
    from profiler.provider.mock_server.wire.request_parser import Incoming

READ_AHEAD = 256 << 10  # bytes of further requests that may wait while one is answered
LINGER_S = 5.0  # for a refused sender to read why before the connection is gone


class Connections(Protocol):
    """Counts the connections."""

    connections_open: int

    def connected(self) -> None: ...


class Application(Protocol):
    settings: ServerSettings

    @property
    def stats(self) -> Connections: ...

    @property
    def larger_bodies(self) -> Mapping[str, int]: ...

    def respond(self, request: Incoming) -> Outgoing: ...

    def finish(self, outgoing: Outgoing, *, whole: bool) -> None: ...

    def refuse(self, error: Malformed) -> bytes: ...


class ServerConnection(asyncio.Protocol):
    """Answers one request after the other; further ones wait in the parser."""

    def __init__(self, app: Application, connections: set[ServerConnection]) -> None:
        self._app = app
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._parser = Parser(max_body=app.settings.max_body, larger=app.larger_bodies)
        self._transport: asyncio.Transport
        self._open = False
        self._current: Outgoing | None = None
        self._keep = True
        self._rest: Iterator[tuple[float, bytes]] = iter(())
        self._timer: asyncio.TimerHandle | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._active_at = 0.0
        self._began_at: float | None = None
        self._paused = False  # reading, because enough is waiting here
        self._blocked = False  # writing, because the other side does not read
        self._lingering = False

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._open = True
        self._connections.add(self)
        self._app.stats.connected()
        self._active_at = self._loop.time()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = False
        self._connections.discard(self)
        self._app.stats.connections_open -= 1
        for timer in (self._timer, self._watchdog):
            if timer is not None:
                timer.cancel()
        if self._current is not None:
            outgoing, self._current = self._current, None
            self._app.finish(outgoing, whole=False)

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        if self._current is None and not self._blocked and (request := self._parser.whole(data)) is not None:
            self._began_at = None
            self._answer(request)
            self._active_at = self._loop.time()
            return
        self._parser.feed(data)
        if self._current is None:
            self._advance()
        if (self._current is not None or self._blocked) and self._parser.buffered > READ_AHEAD:
            self._paused = True
            self._transport.pause_reading()

    # eof_received is not overridden: who closes gets what is written by then, and no longer counts as waiting

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if self._timer is None and self._current is not None:
            self._play()
        if self._current is None:
            self._advance()

    # requests, one after the other

    def _advance(self) -> None:
        while self._current is None and not self._blocked and not self._lingering and self._open:
            try:
                request = self._parser.take()
            except Malformed as error:
                self._refuse(error)
                return
            if request is None:
                self._wait_for_more()
                return
            self._began_at = None
            self._answer(request)

    def _wait_for_more(self) -> None:
        self._resume_reading()
        if self._parser.continue_due():
            self._transport.write(CONTINUE)
        self._active_at = self._loop.time()
        if not self._parser.partial:
            self._began_at = None
        elif self._began_at is None:
            self._began_at = self._active_at

    def _resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _answer(self, request: Incoming) -> None:
        outgoing = self._app.respond(request)
        self._keep = request.head.keep_alive
        pieces = outgoing.pieces
        if self._keep and outgoing.end == "keep" and _is_one_piece(pieces):
            self._transport.write(pieces[0][1])  # as most replies are: nothing is left to play
            self._app.finish(outgoing, whole=True)
            return
        self._current = outgoing
        self._rest = iter(pieces)
        self._play()

    def _play(self) -> None:
        """Write until there is something to wait for; what follows is done by a timer, or when there is room again."""
        self._timer = None
        for delay_s, piece in self._rest:
            if delay_s > 0:
                self._timer = self._loop.call_later(delay_s, self._write_on, piece)
                return
            self._write(piece)
            if self._blocked:
                return
        self._end()

    def _write_on(self, piece: bytes) -> None:
        self._write(piece)
        if self._blocked:
            self._timer = None
            return
        self._play()
        if self._current is None:
            self._advance()

    def _write(self, piece: bytes) -> None:
        if piece and self._open:
            self._transport.write(piece)

    def _end(self) -> None:
        outgoing = self._current
        if outgoing is None or outgoing.end == "hang":
            return  # nothing more is said until the other side leaves
        self._current = None
        self._app.finish(outgoing, whole=outgoing.end == "keep")
        if outgoing.end == "reset":
            self._reset()
        elif outgoing.end == "close" or not self._keep:
            self._open = False
            self._transport.close()

    def _reset(self) -> None:
        """Close so that the other side sees a reset and not an end."""
        self._open = False
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # the end of it

    def _refuse(self, error: Malformed) -> None:
        """Say why, then read on for a moment: a close with unread bytes would destroy the message on its way."""
        self._lingering = True
        self._transport.write(self._app.refuse(error))
        self._resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._timer = self._loop.call_later(LINGER_S, self._transport.abort)

    def _watch(self) -> None:
        """One lazy timer a connection: it fires rarely, looks whether anything is overdue, and sets itself again."""
        settings = self._app.settings
        now = self._loop.time()
        due = now + min(settings.request_timeout_s, settings.idle_timeout_s)
        if self._current is None and not self._lingering:
            if self._began_at is not None:
                due = self._began_at + settings.request_timeout_s
                if due <= now:
                    self._refuse(Malformed("the request did not come in time", status=408))
                    return
            elif (due := self._active_at + settings.idle_timeout_s) <= now:
                self.stop()
                return
            due = min(due, now + settings.request_timeout_s)
        self._watchdog = self._loop.call_at(due, self._watch)

    def stop(self) -> None:
        self._transport.abort()


def _is_one_piece(pieces: Iterable[tuple[float, bytes]]) -> TypeGuard[Sequence[tuple[float, bytes]]]:
    """Whether all is due at once."""
    return isinstance(pieces, (tuple, list)) and len(pieces) == 1 and not pieces[0][0]
