"""A client over the official SDK, whole or streamed, for any provider that the SDK knows.

It gives the same reply, or the same `CallError`, as the profiler's own lanes for the same response.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from profiler.core.errors import CallError
from profiler.core.json import dumps, loads
from profiler.core.wording import shortened
from profiler.provider.failures import bad_reply, failure_in_stream, failure_of
from profiler.provider.http.connection import inflated, lost
from profiler.provider.messages import NotAMessage, reply_of
from profiler.provider.streamed_message import NO_EVENT, StreamedMessage, no_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx2

    from profiler.core.nouns import Reply, Request
    from profiler.provider.redact import Redactor

DEMANDED = ("model", "max_tokens", "messages")


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
        self._broken = httpx2.RequestError
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
        except self._broken as error:  # in the middle of a stream the SDK lets exceptions of its HTTP client through
            raise lost(shortened(self._redact(f"{type(error).__name__}: {error}"))) from error
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
        message = StreamedMessage(begun=begun)
        try:
            async with await raw.parse() as events:
                async for event in events:
                    message.take(event.to_dict(exclude_unset=True, warnings=False), at=time.perf_counter())
        except NO_EVENT as error:  # the SDK lets them through when a line of a stream is not an event
            if not message.ended:
                raise bad_reply(no_event(error), headers, b"", redact=self._redact) from error
        except Exception:
            if not message.ended:  # a fault after the whole reply takes nothing away from it
                raise
        try:
            return message.reply(headers)
        except NotAMessage as problem:
            raise bad_reply(problem, headers, b"", redact=self._redact) from problem


def _arguments(request: Request) -> dict[str, Any]:
    """The planned body as arguments of `messages.create`.

    By name go those that it demands. All others go as `extra_body`, which the SDK passes on as it is: it does not know
    sampling parameters any more, puts some names into headers, and refuses those that are newer than itself.
    """
    body: dict[str, Any] = loads(request.body)
    arguments: dict[str, Any] = {name: body.pop(name) for name in DEMANDED}
    if body:
        arguments["extra_body"] = body
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
