"""The fast lane: sends the bytes that were planned over our own connections, and decodes each reply once.

This is what makes thousands of calls a second possible; the official SDK costs about 1 ms of CPU a call. Retries,
limits and time-outs are the engine's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.core.errors import CallError
from profiler.provider.failures import bad_reply, failure_of
from profiler.provider.messages import NotAMessage, reply_of

if TYPE_CHECKING:
    from profiler.core.nouns import Reply, Request
    from profiler.provider.endpoint import Endpoint
    from profiler.provider.http.connections import Http


class FastClient:
    """Asks one endpoint over connections of its own."""

    def __init__(self, endpoint: Endpoint, http: Http) -> None:
        self._endpoint = endpoint
        self._http = http
        self.describes = f"{endpoint.describes}, fast lane"

    async def complete(self, request: Request) -> Reply:
        endpoint = self._endpoint
        try:
            status, headers, body = await self._http.post(endpoint.head(request.params.api_version), request.body)
        except CallError as error:
            # What a proxy answered may repeat the credentials that it was sent.
            error.message = endpoint.redact(error.message)
            error.args = (error.message,)
            raise
        if status != 200:
            raise failure_of(status, headers, body, redact=endpoint.redact)
        try:
            return reply_of(body, headers)
        except NotAMessage as problem:
            raise bad_reply(problem, headers, body, redact=endpoint.redact) from problem
