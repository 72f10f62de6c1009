"""The lane that streams: sends the bytes that were planned over our own connections, and times the parts of each reply.

The events are read when the stream has ended. What a provider may do in the middle of one (an error, silence, a cut) is
the failure that the official SDK makes of it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import msgspec

from profiler.core.errors import CallError
from profiler.core.json import load_leniently
from profiler.provider.failures import bad_reply, failure_in_stream, failure_of
from profiler.provider.http.events import events
from profiler.provider.messages import NotAMessage
from profiler.provider.streamed_message import NO_EVENT, StreamedMessage, no_event

if TYPE_CHECKING:
    from profiler.core.nouns import Reply, Request
    from profiler.provider.endpoint import Endpoint
    from profiler.provider.http.connections import Http
    from profiler.provider.http.stream_connection import StreamAnswer


class Delta(msgspec.Struct, frozen=True, gc=False):
    type: str
    text: str = ""


class DeltaEvent(msgspec.Struct, frozen=True, gc=False):
    """Most events are these, so they are decoded into as little as possible."""

    type: str
    index: int
    delta: Delta


_decode_delta = msgspec.json.Decoder(DeltaEvent).decode
_decode = msgspec.json.Decoder().decode


class StreamClient:
    """Asks one endpoint for streams, over connections that are `StreamConnection`s."""

    def __init__(self, endpoint: Endpoint, http: Http) -> None:
        self._endpoint = endpoint
        self._http = http
        self.describes = f"{endpoint.describes}, stream lane"

    async def complete(self, request: Request) -> Reply:
        endpoint = self._endpoint
        begun = time.perf_counter()
        try:
            answer = cast(
                "StreamAnswer", await self._http.post(endpoint.head(request.params.api_version), streamed(request.body))
            )
        except CallError as error:
            raise self._redacted(error) from None
        if answer.status != 200:
            if answer.broken is not None:
                raise self._redacted(answer.broken)
            raise failure_of(answer.status, answer.headers, b"".join(answer.pieces), redact=endpoint.redact)
        message = self._message_in(answer, begun=begun)
        if answer.broken is not None and not message.ended:
            raise self._redacted(answer.broken)
        try:
            return message.reply(answer.headers)
        except NotAMessage as problem:
            raise self._bad_reply(problem, answer) from problem

    def _message_in(self, answer: StreamAnswer, *, begun: float) -> StreamedMessage:
        message = StreamedMessage(begun=begun)
        for name, data, at in events(answer.pieces, answer.times):
            if name == b"content_block_delta":
                try:
                    event = _decode_delta(data)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    pass  # whatever it is, it is looked at below
                else:
                    if event.delta.type == "text_delta" and event.type == "content_block_delta":
                        message.add_text(event.index, event.delta.text, at=at)
                        continue
            elif name == b"error" and not message.ended:
                raise failure_in_stream(data, answer.headers, redact=self._endpoint.redact)
            elif name in {b"", b"ping"} or not data:
                continue
            try:
                message.take(_event_in(data), at=at)
            except NO_EVENT as error:
                if not message.ended:
                    raise self._bad_reply(no_event(error), answer) from error
        return message

    def _bad_reply(self, problem: NotAMessage, answer: StreamAnswer) -> CallError:
        return bad_reply(problem, answer.headers, b"".join(answer.pieces), redact=self._endpoint.redact)

    def _redacted(self, error: CallError) -> CallError:
        """The error without credentials, which the answer of a proxy may repeat."""
        error.message = self._endpoint.redact(error.message)
        error.args = (error.message,)
        return error


def streamed(body: bytes) -> bytes:
    """The planned body with `"stream": true` added."""
    return body[:-1] + b',"stream":true}'


def _event_in(data: bytes) -> dict[str, object]:
    """The event in the data. Sloppy JSON is accepted too, because the stream has been paid for."""
    try:
        value = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = load_leniently(data)
    if not isinstance(value, dict):
        raise TypeError(f"found {value!r:.40}, expected an object")
    return value
