"""Messages over TCP: one line of JSON each. The first line of a connection is the token, compared in constant time.

The token travels as it is. It keeps other users of a machine or a trusted network out; whoever can read the network can
read it, so across anything else the connection belongs into a tunnel.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Self

import anyio
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

from profiler.core.errors import UsageError
from profiler.fleet.broker.messages import decode_lease, in_envelope

if TYPE_CHECKING:
    from anyio.abc import SocketStream

    from profiler.fleet.broker.messages import Gone, Lease, Renewal

PATIENCE_S = 2.0
LONGEST_LINE = 1 << 20
SCHEME = "tcp://"
NOT_KNOWN = b'"not known"'  # the answer to whoever says a wrong token

_encode = msgspec.json.encode
BROKEN = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, anyio.IncompleteRead)


def place_of(address: str) -> tuple[str, int]:
    """Host and port of tcp://HOST:PORT."""
    host, colon, port = address.removeprefix(SCHEME).rpartition(":")
    if not address.startswith(SCHEME) or not colon or not host or not port.isdecimal():
        raise UsageError(f"found {address!r} as the address of a broker, expected tcp://HOST:PORT")
    return host.strip("[]"), int(port)


class Lines:
    """One end of a connection."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._received = BufferedByteReceiveStream(stream)

    async def send(self, value: object) -> None:
        await self._stream.send(_encode(value) + b"\n")

    async def receive(self) -> bytes:
        return await self._received.receive_until(b"\n", LONGEST_LINE)


def same_token(found: bytes, expected: str) -> bool:
    return hmac.compare_digest(found, _encode(expected))


class Channel:
    """A worker's end. It connects when it is needed, and anew after a fault."""

    def __init__(self, address: str, *, token: str) -> None:
        self._address = address
        self._place = place_of(address)
        self._token = token
        self._stream: SocketStream | None = None
        self._lines: Lines | None = None
        self._known = False  # this broker has answered before

    async def ask(self, message: Renewal | Gone) -> Lease | None:
        """The answer; None when the broker cannot be reached, or answers too late or with something else. A token that is wrong
        from the beginning is an error; later, another broker listens there, and the own one is gone."""
        sent = in_envelope(message)
        try:
            with anyio.fail_after(PATIENCE_S):
                if self._lines is None:
                    self._stream = await anyio.connect_tcp(*self._place)
                    self._lines = Lines(self._stream)
                    await self._lines.send(self._token)
                await self._lines.send(sent)
                answer = await self._lines.receive()
                if not self._known:
                    self._expect_known(answer)
                lease = decode_lease(answer)
                self._known = True
                return lease
        except (*BROKEN, TimeoutError, anyio.DelimiterNotFound, msgspec.DecodeError):
            await self.close()
            return None
        except BaseException:  # cancelled: the next answer on this connection would be to this message
            with anyio.CancelScope(shield=True):
                await self.close()
            raise

    def _expect_known(self, answer: bytes) -> None:
        if answer == NOT_KNOWN:
            raise UsageError(
                f"the broker at {self._address} does not know the token of this command",
                hint="give PROFILER_BROKER_TOKEN to the broker and to all that it lends to, or to none of them",
            )

    async def close(self) -> None:
        stream, self._stream, self._lines = self._stream, None, None
        if stream is not None:
            await anyio.aclose_forcefully(stream)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await self.close()
