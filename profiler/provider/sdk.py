"""A client over the official SDK, whole or streamed, for any provider that the SDK knows.

It gives the same reply, or the same `CallError`, as the fast lane for the same response. A streamed reply also says in
`metadata["ttft_s"]` when its first token came.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from profiler.core.errors import CallError
from profiler.core.json import dump_leniently, dumps, loads
from profiler.core.wording import shortened
from profiler.provider.failures import bad_reply, failure_in_stream, failure_of
from profiler.provider.http.connection import inflated, lost
from profiler.provider.messages import NotAMessage, reply_of
from profiler.provider.requests import SAMPLING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx2

    from profiler.core.nouns import Reply, Request
    from profiler.provider.redact import Redactor

# What the SDK lets through when a line of a stream is not an event.
NO_EVENT = (ValueError, TypeError, LookupError, AttributeError)


def nothing(_: Exception) -> None:
    """The default for `meant`: beneath the plain SDK any exception that is not the SDK's own is a bug."""


class SdkClient:
    """Asks through a client of the SDK. Whoever opened that closes it."""

    def __init__(
        self,
        sdk: Any,
        *,
        describes: str,
        redact: Redactor,
        stream: bool = False,
        meant: Callable[[Exception], CallError | None] = nothing,
    ) -> None:
        """`meant` translates exceptions of libraries beneath the SDK; it gives None for one that is a bug."""
        import anthropic  # noqa: PLC0415 (it is loaded: somebody has made `sdk`)
        import httpx2  # noqa: PLC0415 (it has loaded that)

        self.describes = describes
        self._sdk = sdk
        self._create = sdk.messages.with_raw_response.create
        self._redact = redact
        self._stream = stream
        self._meant = meant
        self._status_error = anthropic.APIStatusError
        self._timeout_error = anthropic.APITimeoutError
        self._connection_error = anthropic.APIConnectionError
        self._never_sent = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)

    async def complete(self, request: Request) -> Reply:
        try:
            if self._stream:
                return await self._streamed(request)
            raw = await self._create(**_arguments(request))
            status, headers, body = await _parts(raw.http_response)
        except self._timeout_error as error:
            raise CallError(
                "timeout", "no reply before the deadline", retryable=True, sent=self._was_sent(error)
            ) from error
        except self._connection_error as error:
            raise lost(shortened(self._redact(_cause(error))), sent=self._was_sent(error)) from error
        except self._status_error as error:
            raise await self._failure(error) from error
        except Exception as error:
            if isinstance(error, CallError) or (failure := self._meant(error)) is None:
                raise
            failure.message = shortened(self._redact(failure.message))
            raise failure from error
        if status != 200:
            raise failure_of(status, headers, body, redact=self._redact)
        try:
            return reply_of(body, headers)
        except NotAMessage as problem:
            raise bad_reply(problem, headers, body, redact=self._redact) from problem

    def _was_sent(self, error: BaseException) -> bool:
        """Whether the request may have reached the provider, and so may be billed."""
        return not isinstance(error.__cause__, self._never_sent)

    async def _failure(self, error: Any) -> CallError:
        if error.status_code == 200:  # an error event in a stream; only the exception still holds its words
            return failure_in_stream(dumps(error.body), _lower(error.response.headers), redact=self._redact)
        return failure_of(*await _parts(error.response), redact=self._redact)

    async def _streamed(self, request: Request) -> Reply:
        begun = time.perf_counter()
        raw = await self._create(**_arguments(request), stream=True)
        headers = _lower(raw.http_response.headers)
        gathered = Gathered()
        ttft_s: float | None = None
        try:
            async with await raw.parse() as events:
                async for event in events:
                    if ttft_s is None and event.type == "content_block_delta":
                        ttft_s = time.perf_counter() - begun
                    gathered.take(event.to_dict(exclude_unset=True, warnings=False))
        except NO_EVENT as error:
            if not gathered.ended:
                raise self._no_event(error, headers) from error
        except Exception:
            if not gathered.ended:  # a fault after the whole reply takes nothing away from it
                raise
        try:
            reply = gathered.reply(headers)
        except NotAMessage as problem:
            raise bad_reply(problem, headers, b"", redact=self._redact) from problem
        if ttft_s is not None:
            reply.metadata["ttft_s"] = round(ttft_s, 6)
        return reply

    def _no_event(self, error: Exception, headers: Mapping[str, str]) -> CallError:
        """Bytes that are no event: the SDK lets exceptions of the standard library through."""
        problem = NotAMessage(f"in an event: {error}", legible=isinstance(error, UnicodeError))
        return bad_reply(problem, headers, b"", redact=self._redact)


class Gathered:
    """Puts the events of one stream together to the message that they stand for."""

    def __init__(self) -> None:
        self._message: dict[str, Any] | None = None
        self._blocks: dict[int, dict[str, Any]] = {}
        self.ended = False

    def take(self, event: dict[str, Any]) -> None:
        if self.ended:  # a second reply must not replace the first
            return
        match event["type"]:
            case "message_start":
                self._message = event["message"]
            case "content_block_start":
                self._blocks[event["index"]] = dict(event["content_block"])
            case "content_block_delta" if event["delta"]["type"] == "text_delta":
                block = self._blocks.setdefault(event["index"], {"type": "text", "text": ""})
                block["text"] = block.get("text", "") + event["delta"]["text"]
            case "message_delta" if self._message is not None:
                self._message |= event["delta"]
                self._message["usage"] = _newest(self._message.get("usage"), event.get("usage"))
            case "message_stop":
                self.ended = True
            case _:  # pings, thinking, and whatever is new
                pass

    def reply(self, headers: Mapping[str, str]) -> Reply:
        if self._message is None:
            raise NotAMessage("the stream held no message", legible=self.ended)
        if not self.ended:
            raise lost("the connection was closed in the middle of the reply")
        content = [self._blocks[index] for index in sorted(self._blocks)]
        return reply_of(dump_leniently({**self._message, "content": content}), headers)


def _newest(before: object, now: object) -> object:
    """The usage so far. Counts are cumulative, so newer ones replace older ones.

    What is not an object is passed on as it is: `validate` judges it.
    """
    return {**before, **now} if isinstance(before, dict) and isinstance(now, dict) else now or before


def _arguments(request: Request) -> dict[str, Any]:
    """The planned body as arguments of `messages.create`, which no longer takes sampling parameters by name."""
    arguments: dict[str, Any] = loads(request.body)
    extra = {name: arguments.pop(name) for name in SAMPLING if name in arguments}
    if extra:
        arguments["extra_body"] = extra
    if request.params.api_version is not None:
        arguments["extra_headers"] = {"anthropic-version": request.params.api_version}
    return arguments


async def _parts(response: httpx2.Response) -> tuple[int, dict[str, str], bytes]:
    headers, body = _lower(response.headers), await response.aread()
    # httpx does not know this spelling and leaves the body compressed
    if "x-gzip" in headers.get("content-encoding", "").lower():
        body = inflated(body, "x-gzip")
    return response.status_code, headers, body


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _cause(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}"
